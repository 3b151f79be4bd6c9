package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// machine is what a cluster may change on a machine, by its kind.
type machine map[string][]string

// look lists everything: in the guest there is nobody else.
func look() (machine, error) {
	m := machine{}
	m["control groups"] = below("/sys/fs/cgroup", true)
	for _, dir := range []string{"/etc", "/run", "/tmp", "/var", "/dev/shm"} {
		m["files"] = append(m["files"], below(dir, false)...)
	}
	// What udev and systemd note of a link goes a while after the link.
	m["files"] = slices.DeleteFunc(m["files"], func(file string) bool {
		return strings.HasPrefix(file, "/run/udev/") || strings.HasPrefix(file, "/run/systemd/")
	})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		m["mounts"] = append(m["mounts"], strings.Fields(line)[4])
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		m["links"] = append(m["links"], l.Attrs().Name)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		m["routes"] = append(m["routes"], r.String())
	}
	tables, err := new(nftables.Conn).ListTables()
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		m["nftables"] = append(m["nftables"], t.Name)
	}
	m["processes"], err = commands()
	return m, err
}

// below lists what is in a folder.
func below(dir string, folders bool) []string {
	var all []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || !folders) {
			all = append(all, path)
		}
		return nil // it went while we looked
	})
	return all
}

// commands are the processes' command lines, but for the kernel's own, which
// have none.
func commands() ([]string, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	var all []string
	for _, file := range files {
		if line, _ := os.ReadFile(file); len(line) > 0 {
			all = append(all, strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " "))
		}
	}
	return all, err
}

func down(g *guest) error {
	during, err := look()
	if err != nil {
		return err
	}
	for _, kind := range []string{"control groups", "mounts", "links", "routes", "nftables", "processes", "files"} {
		if slices.Equal(during[kind], g.before[kind]) {
			return fmt.Errorf("the comparison of %s does not see a running cluster", kind)
		}
	}
	if _, err := run("", program, "down", "--purge"); err != nil {
		return err
	}
	after, err := look()
	if err != nil {
		return err
	}
	var errs []error
	for kind, want := range g.before {
		for _, line := range after[kind] {
			if !slices.Contains(want, line) {
				errs = append(errs, fmt.Errorf("left in %s: %s", kind, line))
			}
		}
		for _, line := range want {
			if !slices.Contains(after[kind], line) {
				errs = append(errs, fmt.Errorf("took away from %s: %s", kind, line))
			}
		}
	}
	return errors.Join(errs...)
}
