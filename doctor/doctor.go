// Package doctor looks at a machine and says what is missing or in the way of
// a cluster, each finding with its mend.
package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Level is how bad a finding is.
type Level string

// A cluster starts with warnings, but not with failures.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failure Level = "failure"
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`
}

// Want is what a cluster needs of the machine.
type Want struct {
	DataDir string
	Runtime string   // directory of containerd and the rest
	Listen  []string // addresses and ports to be free
	CIDRs   []netip.Prefix
	Bridge  string // the cluster's own, which may be there from before
	Node    bool   // containers are to run here
}

// Examine runs all checks.
func Examine(want Want) []Finding {
	findings := []Finding{checkDisk(want.DataDir)}
	for _, address := range want.Listen {
		findings = append(findings, checkPort(address))
	}
	if !want.Node {
		return findings
	}
	findings = append(findings, checkRoot(), checkCapabilities(), checkNamespaces(), checkOverlay(), checkCgroups(), checkNftables(), checkRuntime(want.Runtime))
	findings = append(findings, checkRoutes(want.CIDRs, want.Bridge)...)
	return append(findings, checkOthers(), checkMemory())
}

func ok(check, detail string) Finding { return Finding{check, OK, detail, ""} }

func checkRoot() Finding {
	if os.Geteuid() == 0 {
		return ok("root", "running as root")
	}
	return Finding{"root", Failure, fmt.Sprintf("running as user %d", os.Geteuid()),
		"run it as root (with sudo): containers, mounts and network rules need it; \"skiff server --no-node\" does not"}
}

// needed are the capabilities without which nothing works; lowering OOM scores
// is one that can be done without.
var needed = map[string]int{
	"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT,
	"CAP_MKNOD": unix.CAP_MKNOD, "CAP_SETUID": unix.CAP_SETUID, "CAP_SETGID": unix.CAP_SETGID, "CAP_KILL": unix.CAP_KILL,
}

func checkCapabilities() Finding {
	effective, err := capabilities()
	if err != nil {
		return Finding{"capabilities", Warning, err.Error(), "mount /proc"}
	}
	var missing []string
	for name, bit := range needed {
		if effective&(1<<bit) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return Finding{"capabilities", Failure, "missing " + strings.Join(missing, ", "), "run skiff outside the container or sandbox that takes them away, or grant them there"}
	}
	if effective&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		return Finding{"capabilities", Warning, "no CAP_SYS_RESOURCE: containers keep the OOM score of this process or a higher one",
			"grant CAP_SYS_RESOURCE if critical pods shall be the last to be killed when memory runs out"}
	}
	return ok("capabilities", "all there")
}

// capabilities returns the process's effective set as bits.
func capabilities() (uint64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, fmt.Errorf("read capabilities: no CapEff in /proc/self/status")
}

func checkNamespaces() Finding {
	var missing []string
	for _, ns := range []string{"net", "pid", "mnt", "uts", "ipc"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			missing = append(missing, ns)
		}
	}
	if len(missing) > 0 {
		return Finding{"namespaces", Failure, "the kernel lacks " + strings.Join(missing, ", "), "boot a kernel with CONFIG_NAMESPACES and all kinds of them"}
	}
	return ok("namespaces", "all there")
}

func checkOverlay() Finding {
	if hasLine("/proc/filesystems", "overlay") || dirExists("/sys/module/overlay") || moduleFile("overlay") {
		return ok("overlayfs", "there")
	}
	return Finding{"overlayfs", Failure, "the kernel has no overlayfs", "load it with \"modprobe overlay\", or boot a kernel with CONFIG_OVERLAY_FS"}
}

func checkCgroups() Finding {
	if data, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return checkControllers("v2", strings.Fields(string(data)))
	}
	var have []string
	for _, c := range []string{"cpu", "memory", "pids", "cpuset"} {
		if dirExists("/sys/fs/cgroup/" + c) {
			have = append(have, c)
		}
	}
	return checkControllers("v1", have)
}

func checkControllers(version string, have []string) Finding {
	var missing []string
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return Finding{"cgroups", Failure, fmt.Sprintf("cgroup %s without %s", version, strings.Join(missing, ", ")),
			"mount the cgroup file system with these controllers; on some systems the kernel needs cgroup_enable=memory"}
	}
	return ok("cgroups", version)
}

func checkNftables() Finding {
	conn, err := nftables.New()
	if err == nil {
		_, err = conn.ListTables()
	}
	if err != nil {
		return Finding{"nftables", Failure, fmt.Sprintf("cannot list tables: %v", err), "load it with \"modprobe nf_tables\", or boot a kernel with CONFIG_NF_TABLES; run as root"}
	}
	return ok("nftables", "there")
}

func checkRuntime(dir string) Finding {
	for _, program := range []string{"containerd", "containerd-shim-runc-v2", "runc", "skiff-cni", "skiff-supervise"} {
		if info, err := os.Stat(filepath.Join(dir, program)); err != nil || info.Mode()&0o111 == 0 {
			return Finding{"runtime", Failure, fmt.Sprintf("%s is not in %s", program, dir), "build it with \"make\", or name its directory in SKIFF_RUNTIME"}
		}
	}
	return ok("runtime", dir)
}

func checkPort(address string) Finding {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return Finding{"port " + address, Failure, err.Error(), "stop the program that has it (\"ss -ltnp\" names it), or choose another with --listen or --node-listen"}
	}
	listener.Close()
	return ok("port "+address, "free")
}

// Least free space to start with, and what a comfortable machine has, in bytes.
const (
	minDisk      = 512 << 20
	goodDisk     = 4 << 30
	goodMemoryKB = 512 << 10
)

func checkDisk(dir string) Finding {
	for !dirExists(dir) && dir != "/" {
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Finding{"disk", Warning, fmt.Sprintf("cannot see the free space of %s: %v", dir, err), "choose another --data-dir"}
	}
	free := st.Bavail * uint64(st.Bsize)
	detail := fmt.Sprintf("%.1f GiB free at %s", float64(free)/(1<<30), dir)
	switch {
	case free < minDisk:
		return Finding{"disk", Failure, detail, "free some space, or choose another --data-dir"}
	case free < goodDisk:
		return Finding{"disk", Warning, detail, "images may not fit: free some space, or choose another --data-dir"}
	}
	return ok("disk", detail)
}

// checkRoutes finds routes of the machine that a cluster range would hide.
func checkRoutes(cidrs []netip.Prefix, own string) []Finding {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	findings := []Finding{}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil || i.Name == own {
			continue
		}
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			for _, c := range cidrs {
				if c.Overlaps(prefix.Masked()) {
					findings = append(findings, Finding{"range " + c.String(), Failure, fmt.Sprintf("it overlaps %s of %s", prefix, i.Name),
						"choose another range with --pod-cidr or --service-cidr"})
				}
			}
		}
	}
	return findings
}

// others are the programs of other clusters that fight over the same things.
var others = []string{"kubelet", "k3s", "k0s", "microk8s", "kube-proxy"}

func checkOthers() Finding {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return Finding{"other clusters", Warning, err.Error(), "mount /proc"}
	}
	for _, e := range entries {
		name, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if err == nil && slices.Contains(others, strings.TrimSpace(string(name))) {
			return Finding{"other clusters", Warning, fmt.Sprintf("%s runs (process %s)", strings.TrimSpace(string(name)), e.Name()),
				"stop it if ports, node ports or address ranges collide"}
		}
	}
	return ok("other clusters", "none")
}

func checkMemory() Finding {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Finding{"memory", Warning, err.Error(), "mount /proc"}
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "MemAvailable:" {
			continue
		}
		kb, err := strconv.ParseInt(fields[1], 10, 64)
		if err == nil && kb < goodMemoryKB {
			return Finding{"memory", Warning, fmt.Sprintf("%d MiB available", kb>>10), "free some memory: the cluster itself needs 100 MiB, containerd 50, pods theirs"}
		}
		return ok("memory", fmt.Sprintf("%d MiB available", kb>>10))
	}
	return ok("memory", "unknown")
}

func hasLine(file, word string) bool {
	data, err := os.ReadFile(file)
	return err == nil && slices.Contains(strings.Fields(string(data)), word)
}

func dirExists(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// moduleFile tells whether the running kernel could load a module.
func moduleFile(name string) bool {
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return false
	}
	matches, err := filepath.Glob("/lib/modules/" + unix.ByteSliceToString(uts.Release[:]) + "/kernel/fs/*/" + name + ".ko*")
	return err == nil && len(matches) > 0
}
