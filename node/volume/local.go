package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// trash begins the names of what is being removed: a removal that was cut short
// is ended at the next start.
const trash = ".removed-"

// localFolder returns the folder of a volume of the built-in class, if it is one
// of this node's: nothing else is ever made or removed.
func (r Root) localFolder(pv *corev1.PersistentVolume) (string, error) {
	want := filepath.Join(r.Local, pv.Name)
	if r.Local == "" || strings.HasPrefix(pv.Name, ".") || pv.Spec.Local == nil || filepath.Clean(pv.Spec.Local.Path) != want {
		return "", fmt.Errorf("the volume is not below this node's folder of local volumes, %s", r.Local)
	}
	return want, nil
}

func (r Root) makeLocal(pv *corev1.PersistentVolume) error {
	path, err := r.localFolder(pv)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.Local, 0o711); err != nil {
		return fmt.Errorf("create folder of local volumes: %w", err)
	}
	return makeDir(path, 0o777, nil)
}

// RemoveLocal removes a volume's data for good. It may be called again.
func (r Root) RemoveLocal(pv *corev1.PersistentVolume) error {
	path, err := r.localFolder(pv)
	if err != nil {
		return err
	}
	aside := filepath.Join(r.Local, trash+pv.Name)
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("remove local volume: %w", err)
	}
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove local volume: %w", err)
	}
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("remove local volume: %w", err)
	}
	return nil
}

// EmptyTrash ends removals that were cut short.
func (r Root) EmptyTrash() error {
	left, err := filepath.Glob(filepath.Join(r.Local, trash+"*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
