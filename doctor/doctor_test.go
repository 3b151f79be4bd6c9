package doctor

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// want checks that a finding has the level, and that a failure names the value
// and the mend.
func want(t *testing.T, f Finding, level Level, words ...string) {
	t.Helper()
	if f.Level != level {
		t.Errorf("%s is %s (%s), want %s", f.Check, f.Level, f.Detail, level)
	}
	if f.Level != OK && f.Mend == "" {
		t.Errorf("%s: %s has no mend", f.Check, f.Detail)
	}
	for _, w := range words {
		if !strings.Contains(f.Detail+" "+f.Mend, w) {
			t.Errorf("%s: %q is missing in %q, %q", f.Check, w, f.Detail, f.Mend)
		}
	}
}

func TestMissingKernelFeatures(t *testing.T) {
	want(t, checkControllers("v1", []string{"cpu", "cpuset"}), Failure, "memory, pids", "cgroup")
	want(t, checkControllers("v2", []string{"cpu", "memory", "pids", "io"}), OK)
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want(t, checkPort(l.Addr().String()), Failure, l.Addr().String(), "--listen")
	l.Close()
	want(t, checkPort(l.Addr().String()), OK)
}

func TestRuntimeIncomplete(t *testing.T) {
	dir := t.TempDir()
	want(t, checkRuntime(dir), Failure, "containerd", dir, "SKIFF_RUNTIME")
	for _, p := range []string{"containerd", "containerd-shim-runc-v2", "runc", "skiff-cni", "skiff-supervise"} {
		if err := os.WriteFile(filepath.Join(dir, p), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want(t, checkRuntime(dir), OK)
	if err := os.Chmod(filepath.Join(dir, "runc"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, checkRuntime(dir), Failure, "runc")
}

func TestRangeInUse(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/16")}
	findings := checkRoutes(loopback, "")
	if len(findings) == 0 {
		t.Fatal("a range that the machine uses is not noticed")
	}
	want(t, findings[0], Failure, "127.0.0.1", "--pod-cidr")
	if findings := checkRoutes(loopback, "lo"); len(findings) != 0 {
		t.Errorf("the cluster's own bridge is in its way: %v", findings)
	}
}

func TestDiskOfDirectoryToBeMade(t *testing.T) {
	f := checkDisk(filepath.Join(t.TempDir(), "not", "there"))
	if f.Detail == "" || strings.Contains(f.Detail, "cannot see") {
		t.Errorf("the free space of a directory to be made is %q", f.Detail)
	}
}
