package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/image"
)

// TestReadTar: what a package holds becomes files of an image.
func TestReadTar(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "./usr/bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./usr/bin/perl", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 3, Uid: 7},
		{Name: "./usr/bin/perl5", Typeflag: tar.TypeLink, Linkname: "./usr/bin/perl"},
		{Name: "./usr/bin/p", Typeflag: tar.TypeSymlink, Linkname: "perl"},
		{Name: "./usr/share/doc/perl", Typeflag: tar.TypeReg, Mode: 0o644, Size: 3},
		{Name: "./dev/null", Typeflag: tar.TypeChar},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("abc")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := readTar(&b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, strings.Join([]string{f.Path, f.Mode.String(), string(f.Data), f.Link}, " "))
	}
	want := []string{"/usr/bin drwxr-xr-x  ", "/usr/bin/perl urwxr-xr-x abc ", "/usr/bin/perl5 urwxr-xr-x abc ", "/usr/bin/p Lrwxrwxrwx  perl"}
	if !slices.Equal(got, want) {
		t.Errorf("files are\n%q\nwant\n%q", got, want)
	}
	if files[1].UID != 7 {
		t.Errorf("the owner is %d, want 7", files[1].UID)
	}
}

// kitchen is a pantry with as little in it as recipes need.
func kitchen(t *testing.T) *pantry {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{
		"agnhost", "nnp", "shell", "etcd", "sample-apiserver",
		"test/images/agnhost/porter/localhost.crt", "test/images/agnhost/porter/localhost.key",
		"test/images/kitten/html/data.json", "test/images/nautilus/html/data.json",
	} {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(file), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	files := []image.File{
		{Path: "/usr/share/base-passwd/passwd.master", Data: []byte("root:x:0:0::/:/bin/sh\n")},
		{Path: "/usr/share/base-passwd/group.master", Data: []byte("root:x:0:\n")},
		{Path: "/bin/ls", Mode: 0o755},
	}
	applets := []string{"ls", "sh", "vi"}
	return &pantry{source: dir, program: func(n string) string { return filepath.Join(dir, n) }, tree: settle(files, applets), applets: applets}
}

// TestSettle: what packages' scripts would do, and tools that Debian lacks.
func TestSettle(t *testing.T) {
	tree := kitchen(t).tree
	if got := string(tree["/etc/passwd"].Data); got != "root:x:0:0::/:/bin/sh\n" {
		t.Errorf("/etc/passwd is %q", got)
	}
	if got := tree["/bin/sh"].Link; got != "bash" {
		t.Errorf("/bin/sh links to %q", got)
	}
	_, own := tree["/usr/local/bin/ls"]
	if own || tree["/usr/local/bin/vi"].Link != "/bin/busybox" {
		t.Error("busybox stands in for what is missing, and for nothing else")
	}
}

// TestBake: every tag of an image is made, and what no recipe is for is left out.
func TestBake(t *testing.T) {
	names := []string{
		"registry.k8s.io/agnhost:1", "registry.k8s.io/agnhost:2", "registry.k8s.io/pause:3",
		"registry.k8s.io/nonroot:1", "registry.k8s.io/nonewprivs:1",
		"registry.k8s.io/volume/iscsi:1", "gcr.io/private/agnhost:1",
	}
	images, err := bake(kitchen(t), names)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range images {
		got = append(got, i.Name)
	}
	if !slices.Equal(got, names[:5]) {
		t.Errorf("made %q", got)
	}
	if user := images[3].Variants[0].Config.User; user != "1234" {
		t.Errorf("nonroot runs as %q", user)
	}
	if images[0].Variants[0].Layers[1].Digest() != images[1].Variants[0].Layers[1].Digest() {
		t.Error("two tags of an image share no layer")
	}
	var b bytes.Buffer
	if err := image.WriteArchive(&b, images...); err != nil {
		t.Fatal(err)
	}
}

// TestRecipes: each can be cooked, and the user that tests ask for is there.
func TestRecipes(t *testing.T) {
	p := kitchen(t)
	for name, r := range recipes() {
		for _, files := range r.layers(p) {
			if _, err := image.NewLayer(files); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
	passwd := p.extended("etc/passwd", "more\n")
	if !strings.HasSuffix(string(passwd.Data), "root:x:0:0::/:/bin/sh\nmore\n") || passwd.Mode != fs.FileMode(0o644) {
		t.Errorf("extended: %q %s", passwd.Data, passwd.Mode)
	}
}

// TestMissingProgram: a recipe without its program is an error that names it.
func TestMissingProgram(t *testing.T) {
	p := kitchen(t)
	p.program = func(n string) string { return filepath.Join(p.source, "absent", n) }
	if _, err := bake(p, []string{"registry.k8s.io/etcd:1"}); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("the error is %v", err)
	}
}
