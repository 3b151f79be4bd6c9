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
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func p[T any](v T) *T { return &v }

// sources knows one ConfigMap and one Secret.
func sources() Sources {
	return Sources{
		ConfigMap: func(name string) (*corev1.ConfigMap, bool) {
			return &corev1.ConfigMap{Data: map[string]string{"a": "1", "b": "2"}, BinaryData: map[string][]byte{"c": {3}}}, name == "cm"
		},
		Secret: func(name string) (*corev1.Secret, bool) {
			return &corev1.Secret{Data: map[string][]byte{"k": []byte("v")}}, name == "s"
		},
		Field: func(path string) (string, error) { return "field " + path, nil },
		Resource: func(ref *corev1.ResourceFieldSelector) (string, error) {
			return "resource " + ref.Resource, nil
		},
		Token: func(_ context.Context, audience string, seconds int64) (string, error) {
			return fmt.Sprintf("token %s %d", audience, seconds), nil
		},
	}
}

func ref(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

func TestPayload(t *testing.T) {
	cm := func(s corev1.ConfigMapVolumeSource) corev1.VolumeSource { return corev1.VolumeSource{ConfigMap: &s} }
	for _, tc := range []struct {
		name string
		src  corev1.VolumeSource
		want string
	}{
		{"all keys", cm(corev1.ConfigMapVolumeSource{LocalObjectReference: ref("cm"), DefaultMode: p(int32(0o600))}), "a=1 600, b=2 600, c=\x03 600"},
		{"items", cm(corev1.ConfigMapVolumeSource{LocalObjectReference: ref("cm"), Items: []corev1.KeyToPath{{Key: "a", Path: "x/y", Mode: p(int32(0o400))}}}), "x/y=1 400"},
		{"missing", cm(corev1.ConfigMapVolumeSource{LocalObjectReference: ref("none")}), `configmap "none" not found`},
		{"missing but optional", cm(corev1.ConfigMapVolumeSource{LocalObjectReference: ref("none"), Optional: p(true)}), ""},
		{"missing key", cm(corev1.ConfigMapVolumeSource{LocalObjectReference: ref("cm"), Items: []corev1.KeyToPath{{Key: "z", Path: "z"}}}), "references non-existent config key: z"},
		{"way out", cm(corev1.ConfigMapVolumeSource{LocalObjectReference: ref("cm"), Items: []corev1.KeyToPath{{Key: "a", Path: "../a"}}}), "invalid path: must not start with '..' or be absolute: ../a"},
		{"missing secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}, `secret "x" not found`},
		{"projected", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", Audience: "me", ExpirationSeconds: p(int64(600))}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: ref("s")}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "f", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
				{Path: "r", ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}},
			}}},
		}}}, "f=field metadata.name 644, k=v 644, r=resource limits.cpu 644, token=token me 600 644"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files, err := Payload(t.Context(), &corev1.Volume{VolumeSource: tc.src}, sources())
			var got []string
			for name, f := range files {
				got = append(got, fmt.Sprintf("%s=%s %o", name, f.Data, f.Mode))
			}
			slices.Sort(got)
			text := strings.Join(got, ", ")
			if err != nil {
				text = err.Error()
			}
			if text != tc.want {
				t.Errorf("%q, want %q", text, tc.want)
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWriteReplacesAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	pair := func(v string) map[string]File {
		return map[string]File{"one": {Data: []byte(v), Mode: 0o644}, "sub/two": {Data: []byte(v), Mode: 0o600}}
	}
	if err := write(dir, pair("0"), nil); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			// A reader that holds the version open sees one version.
			name, err := os.Readlink(filepath.Join(dir, dataLink))
			if err != nil {
				t.Errorf("read link: %v", err)
				return
			}
			version := filepath.Join(dir, name)
			one, err1 := os.ReadFile(filepath.Join(version, "one"))
			two, err2 := os.ReadFile(filepath.Join(version, "sub/two"))
			if errors.Join(err1, err2) == nil && string(one) != string(two) {
				t.Errorf("one version holds %s and %s", one, two)
			}
		}
	})
	for i := range 200 {
		if err := write(dir, pair(fmt.Sprint(i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
	version, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil {
		t.Fatal(err)
	}
	if err := write(dir, pair("199"), nil); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Readlink(filepath.Join(dir, dataLink)); again != version || err != nil {
		t.Errorf("the same files made a new version: %s, before %s (%v)", again, version, err)
	}
	if err := write(dir, map[string]File{"one": {Data: []byte("x")}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "sub")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that is gone stays: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left: %v %v", entries, err)
	}
}

func TestVolumesOfAPod(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir+"/real", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/real", 0o750); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir + "/link")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Open(dir + "/link"); err != nil || again != r { // as after a restart
		t.Fatal(err)
	}
	if mounts, err := mountsBelow(r.Path); len(mounts) != 1 || err != nil {
		t.Errorf("mounts %v %v", mounts, err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "disk", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "memory", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		{Name: "cm", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: ref("cm")}}},
		{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: r.Path + "/host", Type: p(corev1.HostPathDirectoryOrCreate)}}},
	}
	for _, v := range pod.Spec.Volumes {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: v.Name}}})
	}
	src := sources()
	src.Group = p(int64(77))
	for range 2 {
		if err := r.Mount(t.Context(), pod, src); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range pod.Spec.Volumes[:3] {
		info, err := os.Stat(r.Volume("u", &v))
		if err != nil {
			t.Fatal(err)
		}
		if gid := info.Sys().(*syscall.Stat_t).Gid; gid != 77 || info.Mode()&fs.ModeSetgid == 0 {
			t.Errorf("%s: group %d, mode %v", v.Name, gid, info.Mode())
		}
	}
	if got := read(t, r.Volume("u", &pod.Spec.Volumes[2])+"/a"); got != "1" {
		t.Errorf("file holds %q", got)
	}
	if mounts, err := mountsBelow(r.Pod("u")); len(mounts) != 1 || err != nil {
		t.Errorf("mounts %v %v", mounts, err)
	}
	if err := r.Unmount("u"); err != nil {
		t.Fatal(err)
	}
	if mounts, err := mountsBelow(r.Pod("u")); len(mounts) != 0 || err != nil {
		t.Errorf("mounts that stay: %v %v", mounts, err)
	}
	if _, err := os.Stat(r.Path + "/host"); err != nil {
		t.Errorf("a host path went with the pod: %v", err)
	}
	if err := r.Unmount("u"); err != nil {
		t.Error(err)
	}
}

func TestHostPathTypes(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/file"
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		kind corev1.HostPathType
		want string
	}{
		{dir, corev1.HostPathDirectory, ""}, {file, corev1.HostPathFile, ""}, {dir + "/none", corev1.HostPathUnset, ""},
		{"/dev/null", corev1.HostPathCharDev, ""}, {dir + "/new/deep", corev1.HostPathDirectoryOrCreate, ""}, {dir + "/newfile", corev1.HostPathFileOrCreate, ""},
		{file, corev1.HostPathDirectory, "is not a directory"}, {dir, corev1.HostPathFile, "is not a file"}, {dir + "/none", corev1.HostPathDirectory, "is not a directory"},
		{file, corev1.HostPathSocket, "is not a socket file"}, {file, corev1.HostPathBlockDev, "is not a block device"}, {dir, corev1.HostPathFileOrCreate, "is not a file"},
		{dir, "Other", "Other is an invalid volume type"},
	} {
		err := hostPath(&corev1.HostPathVolumeSource{Path: tc.path, Type: &tc.kind})
		if (err == nil) != (tc.want == "") || err != nil && !strings.HasSuffix(err.Error(), tc.want) {
			t.Errorf("%s of type %s: %v, want %q", tc.path, tc.kind, err, tc.want)
		}
	}
}

func TestSubPathStaysInside(t *testing.T) {
	r := Root{Path: t.TempDir()}
	t.Cleanup(func() {
		if err := r.Unmount("u"); err != nil {
			t.Error(err)
		}
	})
	vol, secret := r.Path+"/vol", r.Path+"/secret"
	for _, dir := range []string{vol, secret} {
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(secret+"/f", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vol+"/plain", []byte("plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, vol+"/way-out"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SubPath("u", vol, "way-out/f", "c", 0); err == nil {
		t.Error("a link led out of the volume")
	}
	if _, err := r.SubPath("u", vol, "../secret", "c", 0); err == nil {
		t.Error("'..' led out of the volume")
	}
	for range 2 { // the second as for a container's restart
		at, err := r.SubPath("u", vol, "plain", "c", 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, at); got != "plain" {
			t.Errorf("subPath holds %q", got)
		}
	}
	at, err := r.SubPath("u", vol, "new/folder", "c", 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at+"/x", []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, vol+"/new/folder/x"); got != "y" {
		t.Errorf("the folder holds %q", got)
	}
	// What is planted later changes nothing: the mount holds the old one.
	if err := os.Rename(vol+"/new", vol+"/old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, vol+"/new"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, at+"/x"); got != "y" {
		t.Errorf("the mount holds %q", got)
	}
}
