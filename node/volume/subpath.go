package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// SubPath makes a part of a volume mountable on its own, and returns where. It
// is resolved within the volume, and held by a bind mount, so that links that
// the pod plants cannot lead out of it, now or later. A part that is not there
// is made as a folder.
func (r Root) SubPath(uid types.UID, volume, subPath, container string, index int) (string, error) {
	if filepath.IsAbs(subPath) {
		return "", fmt.Errorf("error SubPath `%s` must not be an absolute path", subPath)
	}
	for part := range strings.SplitSeq(subPath, "/") {
		if part == ".." {
			return "", fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", subPath)
		}
	}
	fd, err := openWithin(volume, subPath)
	if err != nil {
		return "", fmt.Errorf("prepare subPath %q of container %q: %w", subPath, container, err)
	}
	defer unix.Close(fd)
	target := filepath.Join(r.Pod(uid), "subpaths", container, strconv.Itoa(index))
	if err := place(fd, target); err != nil {
		return "", fmt.Errorf("prepare subPath %q of container %q: %w", subPath, container, err)
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("bind subPath %q of container %q: %w", subPath, container, err)
	}
	// What is mounted within comes along, but unmounting it here must not reach
	// where it came from.
	if err := unix.Mount("", target, "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("bind subPath %q of container %q: %w", subPath, container, err)
	}
	return target, nil
}

// openWithin opens a path below a folder, making folders that are missing.
func openWithin(root, sub string) (int, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open volume: %w", err)
	}
	defer unix.Close(dir)
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, filepath.Clean(sub), how)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return -1, err
	}
	parent, name := filepath.Split(filepath.Clean(sub))
	if parent == "" {
		parent = "."
	}
	up := dir
	if parent != "." {
		if up, err = openWithin(root, parent); err != nil {
			return -1, err
		}
		defer unix.Close(up)
	}
	// An O_PATH descriptor cannot be passed to mkdirat safely through links: it is
	// the folder itself, so it can.
	if err := unix.Mkdirat(up, name, st.Mode&0o7777); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	fd, err = unix.Openat2(up, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH})
	if err != nil {
		return -1, err
	}
	mode := fs.FileMode(st.Mode & 0o777)
	if st.Mode&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	err = os.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
	return fd, err
}

// place makes an empty file or folder at target, of the kind that fd is, and
// unmounts what an earlier run of the container left there.
func place(fd int, target string) error {
	for {
		if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			break
		}
	}
	// Not RemoveAll: should the mount be there still, its files are not ours.
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return os.Mkdir(target, 0o750)
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}
