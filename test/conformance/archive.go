package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/skiff-sh/skiff/image"
	"github.com/skiff-sh/skiff/test/netspace"
	"github.com/skiff-sh/skiff/test/registry"
)

// ownSource decides what the images hold: its digest is in the archive's name,
// so a changed recipe makes new images.
//
//go:embed *.go shell/*.go
var ownSource embed.FS

// archive makes the archive of the test images, once, and returns its name.
func archive(ctx context.Context, u *upstream, log io.Writer) (string, error) {
	sum := sha256.New()
	for _, name := range []string{"archive.go", "debian.go", "images.go", "tree.go", "shell/main.go"} {
		data, err := fs.ReadFile(ownSource, name)
		if err != nil {
			return "", err
		}
		sum.Write(data)
	}
	file := u.file("images-" + hex.EncodeToString(sum.Sum(nil))[:12] + ".tar")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	fmt.Fprintln(log, "making the test images")
	images, err := testImages(ctx, u, log)
	if err != nil {
		return "", fmt.Errorf("make test images: %w", err)
	}
	out, err := os.Create(file + ".new")
	if err != nil {
		return "", err
	}
	defer out.Close()
	if err := image.WriteArchive(out, images...); err != nil {
		return "", err
	}
	if err := out.Close(); err != nil {
		return "", err
	}
	return file, os.Rename(file+".new", file)
}

func testImages(ctx context.Context, u *upstream, log io.Writer) ([]image.Image, error) {
	names, err := imageNames(ctx, u)
	if err != nil {
		return nil, err
	}
	source, err := u.source(ctx)
	if err != nil {
		return nil, err
	}
	if err := buildShell(ctx, u.file(shell)); err != nil {
		return nil, err
	}
	detail, err := os.Create(u.file("debian.log"))
	if err != nil {
		return nil, err
	}
	defer detail.Close()
	debs, err := fetch(ctx, u.file("debian"), detail)
	if err != nil {
		return nil, fmt.Errorf("%w; see %s", err, detail.Name())
	}
	files, err := unpack(ctx, debs)
	if err != nil {
		return nil, err
	}
	tools, err := applets(ctx, files)
	if err != nil {
		return nil, err
	}
	return bake(&pantry{source: source, program: u.file, tree: settle(files, tools), applets: tools}, names)
}

// shell is the busybox image's sh.
const shell = "shell"

func buildShell(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "github.com/skiff-sh/skiff/test/conformance/"+shell)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the busybox image's shell: %w: %s", err, out)
	}
	return nil
}

// imageNames are those that the suite would pull, in full.
func imageNames(ctx context.Context, u *upstream) ([]string, error) {
	out, err := exec.CommandContext(ctx, u.file(suite), "--list-images").Output()
	if err != nil {
		return nil, fmt.Errorf("list the suite's images: %w", err)
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	return slices.Compact(names), nil
}

// serveImages is the images' registry, as long as the run lasts. It writes the
// directory by which nodes find it.
func serveImages(archive, dir string) (stop func(), err error) {
	images, err := registry.Open(archive)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", netspace.Address+":0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve the test images: %w", err), images.Close())
	}
	server := &http.Server{Handler: images, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	stop = func() {
		server.Close()
		images.Close()
	}
	if err := images.WriteHosts(dir, "http://"+listener.Addr().String()); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}
