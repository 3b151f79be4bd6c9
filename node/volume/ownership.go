package volume

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

// What a pod's group may do with the files and folders of its volumes.
const (
	groupFile   fs.FileMode = 0o660
	groupFolder fs.FileMode = 0o770 | fs.ModeSetgid
)

// own gives a volume with all that is in it to a group. The root comes last: one
// that is right says that all below it is, which OnRootMismatch relies on.
func own(root string, group int64, policy corev1.PodFSGroupChangePolicy) error {
	if policy == corev1.FSGroupChangeOnRootMismatch && owned(root, group) {
		return nil
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return give(path, info, group)
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(root)
	if err != nil {
		return err
	}
	return give(root, info, group)
}

func owned(root string, group int64) bool {
	info, err := os.Stat(root)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(stat.Gid) == group && info.Mode()&groupFolder == groupFolder
}

// give leaves the mode of links alone: it would be that of what they lead to.
func give(path string, info fs.FileInfo, group int64) error {
	if err := os.Lchown(path, -1, int(group)); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	mode := info.Mode() | groupFile
	if info.IsDir() {
		mode |= groupFolder
	}
	return os.Chmod(path, mode)
}
