package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/skiff-sh/skiff/image"
)

// settle makes a file system of what packages hold: what their scripts would
// have done, as far as tests can see it, and busybox's tools where Debian's own
// are missing. Upstream's images have those, and bash for a shell.
func settle(files []image.File, applets []string) map[string]image.File {
	tree := map[string]image.File{}
	for _, f := range files {
		tree[f.Path] = f
	}
	copied := func(to, from string) {
		f := tree[from]
		f.Path, f.Mode = to, 0o644
		tree[to] = f
	}
	copied("/etc/passwd", "/usr/share/base-passwd/passwd.master")
	copied("/etc/group", "/usr/share/base-passwd/group.master")
	link := func(name, to string) {
		tree[name] = image.File{Path: name, Mode: fs.ModeSymlink | 0o777, Link: to}
	}
	link("/bin/sh", "bash")
	link("/bin/nc", "nc.openbsd")
	link("/usr/bin/awk", "mawk")
	for _, name := range applets {
		if !provided(tree, name) {
			link("/usr/local/bin/"+name, "/bin/busybox")
		}
	}
	tree["/etc/nsswitch.conf"] = image.File{Path: "/etc/nsswitch.conf", Mode: 0o644,
		Data: []byte("passwd: files\ngroup: files\nhosts: files dns\n")}
	return tree
}

func provided(tree map[string]image.File, name string) bool {
	for _, dir := range []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin"} {
		if _, ok := tree[path.Join(dir, name)]; ok {
			return true
		}
	}
	return false
}

// applets asks the packed busybox for the names of its tools.
func applets(ctx context.Context, files []image.File) ([]string, error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "busybox")
	for _, f := range files {
		if f.Path == "/bin/busybox" || f.Path == "/usr/bin/busybox" {
			if err := os.WriteFile(program, f.Data, 0o755); err != nil {
				return nil, err
			}
		}
	}
	out, err := exec.CommandContext(ctx, program, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list busybox's tools: %w", err)
	}
	return strings.Fields(string(out)), nil
}
