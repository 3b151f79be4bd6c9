package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-sh/skiff/image"
)

// recipe is what an image holds beside the Debian tree that all share.
type recipe struct {
	config oci.ImageConfig
	layers func(*pantry) [][]image.File
}

// pantry is what images are made of.
type pantry struct {
	source  string                // of k8s.io/kubernetes
	program func(string) string   // where a program of upstream lies
	tree    map[string]image.File // the Debian tree, by path
	applets []string              // of busybox
	err     error                 // the first, so that recipes stay lists
}

const executable = fs.FileMode(0o755)

// recipes by the last part of an image's name. The suite's images that are not
// here (drivers of storage, benchmarks of nodes) no conformance test uses.
func recipes() map[string]recipe {
	serve := []string{"/agnhost"}
	return map[string]recipe{
		"agnhost":           {oci.ImageConfig{Entrypoint: serve, Cmd: []string{"pause"}}, agnhost},
		"kitten":            {oci.ImageConfig{Entrypoint: serve, Cmd: []string{"test-webserver"}}, website("kitten")},
		"nautilus":          {oci.ImageConfig{Entrypoint: serve, Cmd: []string{"test-webserver"}}, website("nautilus")},
		"busybox":           {oci.ImageConfig{Cmd: []string{"sh"}}, busybox},
		"nginx":             {oci.ImageConfig{Cmd: []string{"nginx", "-g", "daemon off;"}}, nginx},
		"nonroot":           {oci.ImageConfig{Cmd: []string{"sh"}, User: "1234"}, nothing},
		"perl":              {oci.ImageConfig{Cmd: []string{"perl"}}, nothing},
		"ipc-utils":         {oci.ImageConfig{Cmd: []string{"sh"}}, nothing},
		"glibc-dns-testing": {oci.ImageConfig{Cmd: []string{"sh"}}, nothing},
		"nonewprivs": {oci.ImageConfig{Cmd: []string{"nnp"}},
			single("nnp", "usr/local/bin/nnp", executable|fs.ModeSetuid|fs.ModeSetgid)},
		"sample-apiserver": {oci.ImageConfig{Entrypoint: []string{"/sample-apiserver"}},
			single("sample-apiserver", "sample-apiserver", executable)},
		"etcd": {oci.ImageConfig{Cmd: []string{"etcd"}}, single("etcd", "usr/local/bin/etcd", executable)},
	}
}

func nothing(*pantry) [][]image.File { return nil }

// single is one program of upstream.
func single(name, file string, mode fs.FileMode) func(*pantry) [][]image.File {
	return func(p *pantry) [][]image.File {
		return [][]image.File{{{Path: file, Mode: mode, Data: p.read(p.program(name))}}}
	}
}

func (p *pantry) read(file string) []byte {
	data, err := os.ReadFile(file)
	if err != nil && p.err == nil {
		p.err = err
	}
	return data
}

// agnhost does most of what tests need: it serves, asks, and answers.
func agnhost(p *pantry) [][]image.File {
	porter := filepath.Join(p.source, "test/images/agnhost/porter")
	return [][]image.File{{
		{Path: "agnhost", Mode: executable, Data: p.read(p.program("agnhost"))},
		{Path: "agnhost-2", Mode: fs.ModeSymlink | 0o777, Link: "agnhost"}, // for tests of other entrypoints
		{Path: "localhost.crt", Mode: 0o644, Data: p.read(filepath.Join(porter, "localhost.crt"))},
		{Path: "localhost.key", Mode: 0o644, Data: p.read(filepath.Join(porter, "localhost.key"))},
		{Path: "uploads", Mode: fs.ModeDir | 0o755},
		// A user with a further group, for tests of supplemental groups.
		p.extended("etc/passwd", "user-defined-in-image:x:1000:1000::/:/bin/sh\n"),
		p.extended("etc/group", "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n"),
	}}
}

// extended is a file of the tree with more at its end.
func (p *pantry) extended(file, more string) image.File {
	f := p.tree["/"+file]
	f.Data = append(slices.Clone(f.Data), more...)
	return f
}

// alpine is what upstream's websites say that they are made from: the test of
// image volumes reads it.
const alpine = "NAME=\"Alpine Linux\"\nID=alpine\n"

// website is agnhost with a picture and a file that says which it is.
func website(name string) func(*pantry) [][]image.File {
	return func(p *pantry) [][]image.File {
		files, err := image.FromDisk(filepath.Join(p.source, "test/images", name, "html"), "")
		if err != nil {
			p.err = err
		}
		for i := range files {
			files[i].Mode |= 0o644 // the module cache keeps all read-only
		}
		files = append(files, image.File{Path: "etc/os-release", Mode: 0o644, Data: []byte(alpine)})
		return append(agnhost(p), files)
	}
}

// busybox has its own tools before those of Debian, and a shell that is its own
// where it can be.
func busybox(p *pantry) [][]image.File {
	files := []image.File{
		{Path: "bin/sh", Mode: executable, Data: p.read(p.program(shell))},
		{Path: "bin/sysctl", Mode: fs.ModeSymlink | 0o777, Link: "/bin/busybox"},
	}
	for _, name := range p.applets {
		if name != "sh" && name != "bash" && name != "busybox" {
			files = append(files, image.File{Path: "usr/local/bin/" + name, Mode: fs.ModeSymlink | 0o777, Link: "/bin/busybox"})
		}
	}
	return [][]image.File{files}
}

func nginx(*pantry) [][]image.File {
	const config = `user www-data;
worker_processes 1;
error_log /dev/stderr;
pid /run/nginx.pid;
events {}
http {
	include /etc/nginx/mime.types;
	access_log /dev/stdout;
	server {
		listen 80;
		root /usr/share/nginx/html;
	}
}
`
	return [][]image.File{{
		{Path: "etc/nginx/nginx.conf", Mode: 0o644, Data: []byte(config)},
		{Path: "usr/share/nginx/html/index.html", Mode: 0o644, Data: []byte("<html><title>Welcome to nginx!</title></html>\n")},
	}}
}

// public is the registry of images that anybody may pull. Tests want others to
// be out of reach.
const public = "registry.k8s.io/"

// bake makes those of the images that the suite names which have a recipe.
func bake(p *pantry, names []string) ([]image.Image, error) {
	shared, err := image.NewLayer(slices.Collect(maps.Values(p.tree)))
	if err != nil {
		return nil, err
	}
	pause, err := image.PauseImage()
	if err != nil {
		return nil, err
	}
	made := map[string][]image.Variant{"pause": pause.Variants}
	var images []image.Image
	for _, name := range names {
		if !strings.HasPrefix(name, public) {
			continue
		}
		kind, _, _ := strings.Cut(path.Base(name), ":")
		r, ok := recipes()[kind]
		if made[kind] == nil && ok {
			if made[kind], err = r.cook(p, shared); err != nil {
				return nil, fmt.Errorf("make image %s: %w", name, err)
			}
		}
		if made[kind] != nil {
			images = append(images, image.Image{Name: name, Variants: made[kind]})
		}
	}
	return images, nil
}

// cook packs the layers of one image.
func (r recipe) cook(p *pantry, shared image.Layer) ([]image.Variant, error) {
	v := image.Variant{Arch: runtime.GOARCH, Config: r.config, Layers: []image.Layer{shared}}
	v.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, files := range r.layers(p) {
		layer, err := image.NewLayer(files)
		if err != nil {
			return nil, err
		}
		v.Layers = append(v.Layers, layer)
	}
	return []image.Variant{v}, p.err
}
