package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
)

// persistent leads from a pod's folder to where its volume is on the node, and
// gives the volume to the pod's group. The link stays for restarts, so that
// nobody has to ask again which volume the pod has.
func (r Root) persistent(link string, pod *corev1.Pod, pv *corev1.PersistentVolume, src Sources) error {
	place, err := r.place(pv)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o750); err != nil {
		return fmt.Errorf("create folder of volume: %w", err)
	}
	// hostPath volumes keep their owners, as upstream's do.
	if pv.Spec.Local != nil && src.Group != nil && !block(pv) {
		if err := own(place, *src.Group, changePolicy(pod)); err != nil {
			return fmt.Errorf("give volume to group %d: %w", *src.Group, err)
		}
	}
	if old, err := os.Readlink(link); err == nil && old == place {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old link of volume: %w", err)
	}
	return os.Symlink(place, link)
}

func block(pv *corev1.PersistentVolume) bool {
	return pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == corev1.PersistentVolumeBlock
}

func changePolicy(pod *corev1.Pod) corev1.PodFSGroupChangePolicy {
	if sc := pod.Spec.SecurityContext; sc != nil && sc.FSGroupChangePolicy != nil {
		return *sc.FSGroupChangePolicy
	}
	return corev1.FSGroupChangeAlways
}

// place returns where on the node a volume is, and makes it where that is ours
// to do.
func (r Root) place(pv *corev1.PersistentVolume) (string, error) {
	switch {
	case pv.Spec.HostPath != nil:
		return pv.Spec.HostPath.Path, hostPath(pv.Spec.HostPath)
	case pv.Spec.Local == nil:
		return "", errors.New("this kind of persistent volume is not supported: use local or hostPath")
	case resource.IsLocalVolume(pv):
		if err := r.makeLocal(pv); err != nil {
			return "", err
		}
	}
	path := pv.Spec.Local.Path
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("path %q does not exist", path)
	case err != nil:
		return "", err
	case block(pv) && !device(info):
		return "", fmt.Errorf("%s is not a block device, and the volume's mode is Block", path)
	case !block(pv) && device(info):
		return "", fmt.Errorf("%s is a block device: mount its file system and give that folder, or ask for mode Block", path)
	case !block(pv) && !info.IsDir():
		return "", fmt.Errorf("%s is neither a folder nor a block device", path)
	}
	return path, nil
}

func device(info fs.FileInfo) bool {
	return info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0
}
