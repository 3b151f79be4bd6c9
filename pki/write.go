package pki

import (
	"fmt"
	"os"
	"path/filepath"
)

// writer writes files of one directory whole or not at all. finish syncs the
// directory, once for all of them.
type writer struct {
	dir   string
	dirty bool
}

func (w *writer) write(name string, text []byte) (err error) {
	file, err := os.CreateTemp(w.dir, "."+name+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		file.Close()
		if err != nil {
			os.Remove(file.Name())
			err = fmt.Errorf("write %s: %w", filepath.Join(w.dir, name), err)
		}
	}()
	if _, err := file.Write(text); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	w.dirty = true
	return os.Rename(file.Name(), filepath.Join(w.dir, name))
}

func (w *writer) finish() error {
	if !w.dirty {
		return nil
	}
	dir, err := os.Open(w.dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", w.dir, err)
	}
	return nil
}

func writeFile(dir, name string, text []byte) error {
	w := &writer{dir: dir}
	if err := w.write(name, text); err != nil {
		return err
	}
	return w.finish()
}
