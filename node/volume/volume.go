// Package volume makes the volumes of pods: folders below one root that
// containers get mounted. Volumes made of API objects live in memory and follow
// the objects' changes.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Root is the folder that holds everything pods keep on the node while they
// live: <root>/pods/<uid>, and <root>/memory/<uid> for what must not reach a
// disk.
type Root struct {
	Path string
	// Local is the folder of the volumes that the built-in class makes on this
	// node, or "". They outlive pods, and Path.
	Local string
}

// Open makes the folders below a path, and mounts the one that is in memory. The
// root that it returns has no links in its path, as the kernel names mounts.
func Open(path string) (Root, error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return Root{}, fmt.Errorf("create folder of volumes: %w", err)
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Root{}, fmt.Errorf("find folder of volumes: %w", err)
	}
	r := Root{Path: path}
	return r, r.prepare()
}

func (r Root) prepare() error {
	for _, name := range []string{"pods", "memory"} {
		if err := os.MkdirAll(filepath.Join(r.Path, name), 0o750); err != nil {
			return fmt.Errorf("create folder of volumes: %w", err)
		}
	}
	memory := filepath.Join(r.Path, "memory")
	mounts, err := mountsBelow(memory)
	if err != nil {
		return err
	}
	if slices.Contains(mounts, memory) {
		return nil
	}
	if err := unix.Mount("tmpfs", memory, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=750"); err != nil {
		return fmt.Errorf("mount memory for secrets at %s: %w", memory, err)
	}
	return nil
}

// Close unmounts what Open mounted. Pods must be gone.
func (r Root) Close() error {
	return unmountBelow(filepath.Join(r.Path, "memory"))
}

// Pod returns the folder of a pod.
func (r Root) Pod(uid types.UID) string { return filepath.Join(r.Path, "pods", string(uid)) }

func (r Root) memory(uid types.UID) string { return filepath.Join(r.Path, "memory", string(uid)) }

// Pods returns the UIDs of the pods that have folders.
func (r Root) Pods() ([]types.UID, error) {
	entries, err := os.ReadDir(filepath.Join(r.Path, "pods"))
	if err != nil {
		return nil, fmt.Errorf("list pods' folders: %w", err)
	}
	uids := make([]types.UID, 0, len(entries))
	for _, e := range entries {
		uids = append(uids, types.UID(e.Name()))
	}
	return uids, nil
}

// Volume returns where a volume of a pod is on the node.
func (r Root) Volume(uid types.UID, v *corev1.Volume) string {
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path
	case Projected(v):
		return filepath.Join(r.memory(uid), v.Name)
	}
	path := filepath.Join(r.Pod(uid), "volumes", v.Name)
	if claimed(v) {
		if place, err := os.Readlink(path); err == nil {
			return place
		}
	}
	return path
}

// claimed tells whether a claim is behind a volume.
func claimed(v *corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil }

// Mount makes all volumes of a pod. It may be called again: what is there stays.
// Errors are for the user.
func (r Root) Mount(ctx context.Context, pod *corev1.Pod, src Sources) error {
	if err := os.MkdirAll(r.Pod(pod.UID), 0o750); err != nil {
		return fmt.Errorf("create folder of pod: %w", err)
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		switch {
		case !Used(pod, v.Name): // what nobody mounts need not be there, as upstream
		case v.Image != nil: // is the runtime's to mount
		case claimed(v):
			if err := r.claim(ctx, pod, v, src); err != nil {
				return err
			}
		default:
			if err := r.mount(ctx, pod.UID, v, src); err != nil {
				return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
			}
		}
	}
	return nil
}

// claim mounts the volume behind a claim.
func (r Root) claim(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, src Sources) error {
	pv, err := src.Persistent(ctx, v)
	if err != nil {
		return fmt.Errorf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], failed to process volumes=[%s]: %w", v.Name, v.Name, err)
	}
	if err := r.persistent(filepath.Join(r.Pod(pod.UID), "volumes", v.Name), pod, pv, src); err != nil {
		return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", pv.Name, err)
	}
	return nil
}

// Used tells whether a container of the pod mounts the volume of a name.
func Used(pod *corev1.Pod, name string) bool {
	mounts := func(c *corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == name }) ||
			slices.ContainsFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == name })
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if mounts(&list[i]) {
				return true
			}
		}
	}
	return slices.ContainsFunc(pod.Spec.EphemeralContainers, func(e corev1.EphemeralContainer) bool {
		c := corev1.Container(e.EphemeralContainerCommon)
		return mounts(&c)
	})
}

func (r Root) mount(ctx context.Context, pod types.UID, v *corev1.Volume, src Sources) error {
	path := r.Volume(pod, v)
	switch {
	case v.HostPath != nil:
		return hostPath(v.HostPath)
	case v.EmptyDir != nil:
		return emptyDir(path, v.EmptyDir, src.Group)
	case Projected(v):
		return r.project(ctx, path, v, src)
	}
	return errors.New("this kind of volume is not supported: use emptyDir, hostPath, configMap, secret, downwardAPI, projected, ephemeral or persistentVolumeClaim")
}

func (r Root) project(ctx context.Context, path string, v *corev1.Volume, src Sources) error {
	files, err := Payload(ctx, v, src)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("create folder of volume: %w", err)
	}
	if err := makeDir(path, 0o777, src.Group); err != nil {
		return err
	}
	return write(path, files, src.Group)
}

// Refresh brings a pod's projected volumes up to date. All are tried; errors are
// joined.
func (r Root) Refresh(ctx context.Context, pod *corev1.Pod, src Sources) error {
	var errs []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if !Projected(v) || !Used(pod, v.Name) {
			continue
		}
		if err := r.project(ctx, r.Volume(pod.UID, v), v, src); err != nil {
			errs = append(errs, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Unmount removes everything of a pod. It may be called again.
func (r Root) Unmount(uid types.UID) error {
	for _, dir := range []string{r.Pod(uid), r.memory(uid)} {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := unmountBelow(dir); err != nil {
			return err
		}
		// What is still mounted is not the pod's alone: its files must stay.
		if mounts, err := mountsBelow(dir); err != nil || len(mounts) > 0 {
			return errors.Join(err, fmt.Errorf("remove volumes: still mounted: %s", strings.Join(mounts, ", ")))
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove volumes: %w", err)
		}
	}
	return nil
}

// makeDir creates a folder with a mode that the process's umask does not cut,
// and gives it to the pod's group.
func makeDir(path string, mode os.FileMode, group *int64) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create volume: %w", err)
	}
	if group != nil {
		if err := os.Lchown(path, 0, int(*group)); err != nil {
			return fmt.Errorf("give volume to group %d: %w", *group, err)
		}
		mode |= fs.ModeSetgid
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("set mode of volume: %w", err)
	}
	return nil
}

func emptyDir(path string, src *corev1.EmptyDirVolumeSource, group *int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("create folder of volume: %w", err)
	}
	_, err := os.Lstat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if !fresh && src.Medium != corev1.StorageMediumMemory {
		return nil
	}
	switch src.Medium {
	case corev1.StorageMediumDefault:
		return makeDir(path, 0o777, group)
	case corev1.StorageMediumMemory:
		if mounts, err := mountsBelow(path); err != nil || slices.Contains(mounts, path) {
			return err
		}
	default:
		return fmt.Errorf("emptyDir medium %q is not supported: use \"\" or %q", src.Medium, corev1.StorageMediumMemory)
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return fmt.Errorf("create volume: %w", err)
	}
	options := "mode=1777"
	if src.SizeLimit != nil && src.SizeLimit.Value() > 0 {
		options += fmt.Sprintf(",size=%d", src.SizeLimit.Value())
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, options); err != nil {
		return fmt.Errorf("mount memory: %w", err)
	}
	mode := fs.FileMode(0o777)
	if group != nil {
		mode |= fs.ModeSetgid
		if err := os.Lchown(path, 0, int(*group)); err != nil {
			return fmt.Errorf("give volume to group %d: %w", *group, err)
		}
	}
	return os.Chmod(path, mode)
}

// mountsBelow returns the mount points at and below a folder, outermost first.
func mountsBelow(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			out = append(out, point)
		}
	}
	return out, nil
}

// unescape undoes mountinfo's octal escapes of blanks.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func unmountBelow(dir string) error {
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, point := range slices.Backward(mounts) {
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}
