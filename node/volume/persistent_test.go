package volume

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
)

func localPV(name, path string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}}},
	}
}

func provisioned(root Root, name string) *corev1.PersistentVolume {
	pv := localPV(name, filepath.Join(root.Local, name))
	pv.Annotations = map[string]string{"pv.kubernetes.io/provisioned-by": resource.LocalProvisioner}
	return pv
}

func claimPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: "u"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "data"}}}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}},
				{Name: "nobody", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}},
			},
		},
	}
}

func bound(pv *corev1.PersistentVolume) Sources {
	s := sources()
	s.Persistent = func(context.Context, *corev1.Volume) (*corev1.PersistentVolume, error) { return pv, nil }
	return s
}

func TestPersistent(t *testing.T) {
	dir := t.TempDir()
	root := Root{Path: dir + "/pods", Local: dir + "/volumes"}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	raw := corev1.PersistentVolumeBlock
	asDevice := localPV("dev", dir)
	asDevice.Spec.VolumeMode = &raw
	elsewhere := provisioned(root, "pvc-1")
	elsewhere.Spec.Local.Path = filepath.Join(dir, "else")
	for _, tc := range []struct {
		name, want, wrong string
		pv                *corev1.PersistentVolume
	}{
		{name: "local", pv: localPV("v", dir), want: dir},
		{name: "made here", pv: provisioned(root, "pvc-1"), want: dir + "/volumes/pvc-1"},
		{name: "host path", pv: &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: file}}}}, want: file},
		{name: "not there", pv: localPV("v", dir+"/none"), wrong: `MountVolume.SetUp failed for volume "v" : path "` + dir + `/none" does not exist`},
		{name: "a file", pv: localPV("v", file), wrong: "neither a folder nor a block device"},
		{name: "a folder as a device", pv: asDevice, wrong: "is not a block device"},
		{name: "made elsewhere", pv: elsewhere, wrong: "not below this node's folder of local volumes"},
		{name: "not known", pv: &corev1.PersistentVolume{}, wrong: "not supported: use local or hostPath"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := claimPod()
			err := root.Mount(t.Context(), pod, bound(tc.pv))
			if tc.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wrong) {
					t.Fatalf("got %v, want %s", err, tc.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := root.Volume(pod.UID, &pod.Spec.Volumes[0]); got != tc.want {
				t.Errorf("at %s, want %s", got, tc.want)
			}
			if err := root.Unmount(pod.UID); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(tc.want); err != nil {
				t.Errorf("the volume went with the pod: %v", err)
			}
		})
	}
}

func TestGroupOwnsPersistentVolume(t *testing.T) {
	dir := t.TempDir()
	root, place := Root{Path: dir + "/pods"}, filepath.Join(dir, "v")
	inner := filepath.Join(place, "sub", "file")
	if err := os.MkdirAll(filepath.Dir(inner), 0o700); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(dir, "outside")
	for path, mode := range map[string]os.FileMode{inner: 0o600, outside: 0o600} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(place, "link")); err != nil {
		t.Fatal(err)
	}
	src := bound(localPV("v", place))
	state := func(path string) (os.FileMode, uint32) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode(), info.Sys().(*syscall.Stat_t).Gid
	}
	mount := func(group int64, policy corev1.PodFSGroupChangePolicy) {
		pod := claimPod()
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroupChangePolicy: &policy}
		src.Group = &group
		if err := root.Mount(t.Context(), pod, src); err != nil {
			t.Fatal(err)
		}
	}
	mount(1234, corev1.FSGroupChangeOnRootMismatch)
	for path, want := range map[string]os.FileMode{place: 0o770 | os.ModeDir | os.ModeSetgid, filepath.Dir(inner): 0o770 | os.ModeDir | os.ModeSetgid, inner: 0o660} {
		if mode, gid := state(path); mode != want || gid != 1234 {
			t.Errorf("%s: %v of group %d, want %v of 1234", path, mode, gid, want)
		}
	}
	if mode, gid := state(outside); mode != 0o600 || gid != 0 {
		t.Errorf("what a link leads to became %v of group %d", mode, gid)
	}
	if err := os.Chown(inner, 0, 7); err != nil {
		t.Fatal(err)
	}
	mount(1234, corev1.FSGroupChangeOnRootMismatch)
	if _, gid := state(inner); gid != 7 {
		t.Error("OnRootMismatch looked below a root that is right")
	}
	mount(1234, corev1.FSGroupChangeAlways)
	if _, gid := state(inner); gid != 1234 {
		t.Errorf("Always left group %d", gid)
	}
}

func TestRemoveLocal(t *testing.T) {
	dir := t.TempDir()
	root := Root{Local: dir + "/volumes"}
	pv, other := provisioned(root, "pvc-1"), provisioned(root, "pvc-2")
	for _, v := range []*corev1.PersistentVolume{pv, other} {
		if _, err := root.place(v); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(v.Spec.Local.Path, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := root.RemoveLocal(pv); err != nil {
			t.Fatal(err)
		}
	}
	stranger := provisioned(root, "..")
	stranger.Spec.Local.Path = dir
	if err := root.RemoveLocal(stranger); err == nil {
		t.Error("a path outside was removed")
	}
	if err := os.Mkdir(filepath.Join(root.Local, trash+"pvc-0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := root.EmptyTrash(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(root.Local)
	if err != nil || len(left) != 1 || left[0].Name() != "pvc-2" {
		t.Errorf("left: %v %v", left, err)
	}
}
