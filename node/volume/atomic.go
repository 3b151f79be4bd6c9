package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The link that readers follow to the current files, as upstream names it:
// programs watch it.
const (
	dataLink    = "..data"
	dataLinkNew = "..data_tmp"
)

// write makes a folder hold exactly files. Readers see either all the old or all
// the new ones: every name is a link into ..data, which is replaced at once. It
// does nothing when the files are already so.
func write(dir string, files map[string]File, group *int64) error {
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read volume: %w", err)
	}
	if old != "" && same(filepath.Join(dir, old), files) {
		return nil
	}
	fresh, err := os.MkdirTemp(dir, "..20")
	if err != nil {
		return fmt.Errorf("create volume version: %w", err)
	}
	if err := fill(fresh, files, group); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	tmp := filepath.Join(dir, dataLinkNew)
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("remove old link: %w", err)
	}
	if err := os.Symlink(filepath.Base(fresh), tmp); err != nil {
		return fmt.Errorf("link volume version: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return fmt.Errorf("switch volume version: %w", err)
	}
	if err := link(dir, files); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

// same reports whether a version holds exactly files.
func same(version string, files map[string]File) bool {
	count := 0
	err := filepath.WalkDir(version, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		count++
		name, err := filepath.Rel(version, path)
		if err != nil {
			return err
		}
		want, ok := files[name]
		data, err := os.ReadFile(path)
		if err != nil || !ok || !bytes.Equal(data, want.Data) {
			return errors.Join(errDiffers, err)
		}
		return nil
	})
	return err == nil && count == len(files)
}

var errDiffers = errors.New("the file differs")

func fill(version string, files map[string]File, group *int64) error {
	if err := os.Chmod(version, 0o755); err != nil {
		return fmt.Errorf("open volume version: %w", err)
	}
	for name, f := range files {
		path := filepath.Join(version, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("create folder of %s: %w", name, err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		mode := os.FileMode(f.Mode)
		if group != nil {
			mode |= 0o440
		}
		user, gid := 0, 0
		if f.User != nil {
			user = int(*f.User)
		}
		if group != nil {
			gid = int(*group)
		}
		if user != 0 || gid != 0 {
			if err := os.Lchown(path, user, gid); err != nil {
				return fmt.Errorf("give %s to its user: %w", name, err)
			}
		}
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("set mode of %s: %w", name, err)
		}
	}
	if group == nil {
		return nil
	}
	return filepath.WalkDir(version, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return errors.Join(os.Lchown(path, 0, int(*group)), os.Chmod(path, 0o755|fs.ModeSetgid))
	})
}

// link makes every top name a link into ..data and removes names that are no
// longer there.
func link(dir string, files map[string]File) error {
	tops := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		tops[top] = true
	}
	for top := range tops {
		err := os.Symlink(filepath.Join(dataLink, top), filepath.Join(dir, top))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link %s: %w", top, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list volume: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") && !tops[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove %s: %w", e.Name(), err)
			}
		}
	}
	return nil
}
