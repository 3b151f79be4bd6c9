package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// hostPath holds a path of the node to what the pod says it is, and makes it
// where the type says so.
func hostPath(src *corev1.HostPathVolumeSource) error {
	want := corev1.HostPathUnset
	if src.Type != nil {
		want = *src.Type
	}
	info, err := os.Stat(src.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	exists := err == nil
	switch want {
	case corev1.HostPathUnset:
		return nil
	case corev1.HostPathDirectoryOrCreate:
		if !exists {
			return os.MkdirAll(src.Path, 0o755)
		}
		want = corev1.HostPathDirectory
	case corev1.HostPathFileOrCreate:
		if !exists {
			f, err := os.OpenFile(src.Path, os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}
		want = corev1.HostPathFile
	}
	kinds := map[corev1.HostPathType]struct {
		words string
		is    func(fs.FileMode) bool
	}{
		corev1.HostPathDirectory: {"directory", fs.FileMode.IsDir},
		corev1.HostPathFile:      {"file", fs.FileMode.IsRegular},
		corev1.HostPathSocket:    {"socket file", func(m fs.FileMode) bool { return m&fs.ModeSocket != 0 }},
		corev1.HostPathCharDev:   {"character device", func(m fs.FileMode) bool { return m&fs.ModeCharDevice != 0 }},
		corev1.HostPathBlockDev:  {"block device", func(m fs.FileMode) bool { return m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0 }},
	}
	kind, known := kinds[want]
	switch {
	case !known:
		return fmt.Errorf("%s is an invalid volume type", want)
	case !exists || !kind.is(info.Mode()):
		return fmt.Errorf("hostPath type check failed: %s is not a %s", src.Path, kind.words)
	}
	return nil
}
