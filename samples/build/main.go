// Command build makes the sample application's images as OCI archives, with
// nothing but the Go tool:
//
//	go run ./samples/build -o bin/images
//
// If /bin/busybox is a static program (Debian's busybox-static), it also makes
// a small image with a shell, for tests.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-sh/skiff/image"
)

func main() {
	out := flag.String("o", "bin/images", "directory for the archives")
	arch := flag.String("arch", runtime.GOARCH, "architecture, in Go's words")
	flag.Parse()
	if err := build(*out, *arch); err != nil {
		fmt.Fprintln(os.Stderr, "build samples:", err)
		os.Exit(1)
	}
}

func build(out, arch string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var guestbook []image.Image
	for _, name := range []string{"web", "store"} {
		img, err := program("localhost/guestbook-"+name+":1", "github.com/skiff-sh/skiff/samples/guestbook/"+name, arch)
		if err != nil {
			return err
		}
		guestbook = append(guestbook, img)
	}
	if err := save(filepath.Join(out, "guestbook.tar"), guestbook...); err != nil {
		return err
	}
	if arch != runtime.GOARCH || !staticBusybox() {
		return nil
	}
	img, err := busybox(arch)
	if err != nil {
		return err
	}
	return save(filepath.Join(out, "busybox.tar"), img)
}

// program makes an image of one Go program and nothing else.
func program(name, pkg, arch string) (image.Image, error) {
	dir, err := os.MkdirTemp("", "skiff-samples")
	if err != nil {
		return image.Image{}, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if msg, err := cmd.CombinedOutput(); err != nil {
		return image.Image{}, fmt.Errorf("build %s: %w\n%s", pkg, err, msg)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return image.Image{}, err
	}
	config := oci.ImageConfig{Entrypoint: []string{"/program"}, ExposedPorts: map[string]struct{}{"8080/tcp": {}}}
	return one(name, arch, config, []image.File{{Path: "program", Mode: 0o755, Data: data}})
}

func one(name, arch string, config oci.ImageConfig, files []image.File) (image.Image, error) {
	layer, err := image.NewLayer(files)
	if err != nil {
		return image.Image{}, err
	}
	return image.Image{Name: name, Variants: []image.Variant{{Arch: arch, Config: config, Layers: []image.Layer{layer}}}}, nil
}

// staticBusybox: a dynamic one would lack its libraries in the image.
func staticBusybox() bool {
	out, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil || len(out) == 0 {
		return false
	}
	data, err := os.ReadFile("/bin/busybox")
	return err == nil && !strings.Contains(string(data[:min(len(data), 4096)]), "ld-linux")
}

func busybox(arch string) (image.Image, error) {
	applets, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return image.Image{}, fmt.Errorf("list busybox's programs: %w", err)
	}
	files, err := image.FromDisk("/bin/busybox", "bin/busybox")
	if err != nil {
		return image.Image{}, err
	}
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			files = append(files, image.File{Path: "bin/" + name, Mode: fs.ModeSymlink | 0o777, Link: "busybox"})
		}
	}
	files = append(files,
		image.File{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		image.File{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		image.File{Path: "root", Mode: fs.ModeDir | 0o700},
		image.File{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	)
	config := oci.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}
	return one("localhost/busybox:1", arch, config, files)
}

// save writes the archive whole or not at all.
func save(file string, images ...image.Image) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := image.WriteArchive(f, images...); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	for _, img := range images {
		fmt.Println(file, img.Name)
	}
	return nil
}
