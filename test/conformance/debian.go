package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-sh/skiff/image"
)

// packages are what tests call inside their images, and what the tools of
// upstream's images have that these would lack. usr-is-merged stands for
// usrmerge, which would bring all of Perl.
func packages() []string {
	return []string{
		"base-files", "base-passwd", "bash", "bind9-dnsutils", "busybox-static", "coreutils", "curl", "findutils",
		"grep", "gzip", "hostname", "iperf", "iproute2", "libc-bin", "mawk", "netcat-openbsd", "nginx-light",
		"perl-base", "procps", "sed", "socat", "tar", "usr-is-merged", "util-linux",
	}
}

// fetch brings packages and what they stand on to dir, as Debian's own tool
// finds and checks them, seen from a machine with nothing installed.
func fetch(ctx context.Context, dir string, log io.Writer) ([]string, error) {
	if err := os.MkdirAll(filepath.Join(dir, "partial"), 0o755); err != nil {
		return nil, err
	}
	status := filepath.Join(dir, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	args := append([]string{
		"-y", "-q", "-o", "Dir::State::status=" + status, "-o", "Dir::Cache::archives=" + dir,
		"-o", "Debug::NoLocking=1", "-o", "APT::Install-Recommends=false", "--download-only", "install",
	}, packages()...)
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd.Run()
	}
	err := run(args...)
	if err != nil { // a fresh machine has no lists, an old one lists of packages that are gone
		err = errors.Join(run("update", "-q"), run(args...))
	}
	if err != nil {
		return nil, fmt.Errorf("fetch Debian packages: %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	slices.Sort(debs)
	return debs, err
}

// unpack reads the files of packages. Their scripts do not run.
func unpack(ctx context.Context, debs []string) ([]image.File, error) {
	var all []image.File
	for _, deb := range debs {
		cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
		files, err := readTar(out)
		if err := errors.Join(err, cmd.Wait()); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
		all = append(all, files...)
	}
	return all, nil
}

// readTar reads what an image needs of an archive: no documents, and a copy in
// place of a hard link.
func readTar(r io.Reader) ([]image.File, error) {
	var files []image.File
	content := map[string]image.File{}
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // what pads the end
			return files, err
		}
		if err != nil {
			return nil, err
		}
		f := image.File{Path: path.Clean("/" + h.Name), Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid}
		switch h.Typeflag {
		case tar.TypeReg:
			if f.Data, err = io.ReadAll(archive); err != nil {
				return nil, err
			}
		case tar.TypeSymlink:
			f.Mode, f.Link = fs.ModeSymlink|0o777, h.Linkname
		case tar.TypeLink:
			source := content[path.Clean("/"+h.Linkname)]
			f.Mode, f.Data = source.Mode, source.Data
		case tar.TypeDir:
		default:
			continue
		}
		content[f.Path] = f
		if !document(f.Path) {
			files = append(files, f)
		}
	}
}

// document tells what no test reads.
func document(file string) bool {
	for _, dir := range []string{"doc", "man", "locale", "info", "lintian", "i18n", "bash-completion", "perl5"} {
		if strings.HasPrefix(file, "/usr/share/"+dir+"/") {
			return true
		}
	}
	return strings.HasPrefix(file, "/usr/lib/x86_64-linux-gnu/gconv/") || strings.HasPrefix(file, "/usr/lib/aarch64-linux-gnu/gconv/")
}
