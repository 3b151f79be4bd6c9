package node

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/node/cgroup"
)

// Version is the version of Kubernetes that the agent reports.
const Version = "v1.37.2"

// capSysResource is the bit of the capability that lowering OOM scores needs.
const capSysResource = 24

// detectHost reads what of the machine goes into runtime configurations.
func detectHost(c Config) (Host, error) {
	resolv, err := os.ReadFile(c.ResolvConf)
	if err != nil && !os.IsNotExist(err) {
		return Host{}, fmt.Errorf("read the node's resolver configuration: %w", err)
	}
	h := Host{
		DNS:        DNS{Servers: c.ClusterDNS, Domain: c.ClusterDomain, Host: ParseResolv(string(resolv))},
		LogRoot:    c.Logs,
		CgroupRoot: c.CgroupRoot, Unified: cgroup.Unified(),
		Memory:      meminfo("MemTotal:"),
		MayLowerOOM: effectiveCapability(capSysResource),
		SeccompRoot: c.SeccompRoot,
	}
	if h.MaskedCPUs, err = filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"); err != nil {
		return Host{}, fmt.Errorf("find processors: %w", err)
	}
	return h, nil
}

func effectiveCapability(bit uint) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && n&(1<<bit) != 0
		}
	}
	return false
}

// describe returns the Node object of this machine, without conditions.
func (a *Agent) describe() *corev1.Node {
	c := a.config
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.Name, Labels: map[string]string{
		corev1.LabelHostname: c.Hostname, corev1.LabelOSStable: runtime.GOOS, corev1.LabelArchStable: runtime.GOARCH,
		"beta.kubernetes.io/os": runtime.GOOS, "beta.kubernetes.io/arch": runtime.GOARCH,
	}}}
	for k, v := range c.Labels {
		node.Labels[k] = v
	}
	node.Spec.Taints = c.Taints
	for _, ip := range c.Addresses {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: c.Hostname})
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = c.Port
	node.Status.Capacity = a.capacity()
	node.Status.Allocatable = node.Status.Capacity.DeepCopy()
	for name, kept := range c.Reserved {
		if q, ok := node.Status.Allocatable[name]; ok {
			q.Sub(kept)
			node.Status.Allocatable[name] = q
		}
	}
	node.Status.NodeInfo = a.systemInfo()
	node.Status.RuntimeHandlers = a.handlers()
	yes := true
	node.Status.Features = &corev1.NodeFeatures{SupplementalGroupsPolicy: &yes}
	return node
}

func (a *Agent) capacity() corev1.ResourceList {
	out := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(a.host.Memory, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(int64(a.config.MaxPods), resource.DecimalSI),
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(a.config.Root, &fs); err == nil {
		out[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(fs.Blocks)*fs.Bsize, resource.BinarySI)
	}
	sizes, err := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-*kB")
	if err != nil {
		return out
	}
	for _, dir := range sizes {
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), "hugepages-"), "kB"), 10, 64)
		data, err2 := os.ReadFile(filepath.Join(dir, "nr_hugepages"))
		count, err3 := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
		if err == nil && err2 == nil && err3 == nil {
			size := resource.NewQuantity(kb*1024, resource.BinarySI)
			out[corev1.ResourceName(corev1.ResourceHugePagesPrefix+size.String())] = *resource.NewQuantity(count*kb*1024, resource.BinarySI)
		}
	}
	return out
}

func (a *Agent) systemInfo() corev1.NodeSystemInfo {
	info := corev1.NodeSystemInfo{
		OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, KubeletVersion: Version,
		MachineID:               line("/etc/machine-id"),
		SystemUUID:              line("/sys/class/dmi/id/product_uuid"),
		BootID:                  line("/proc/sys/kernel/random/boot_id"),
		KernelVersion:           line("/proc/sys/kernel/osrelease"),
		OSImage:                 osImage(),
		ContainerRuntimeVersion: "containerd://unknown",
	}
	ctx, cancel := context.WithTimeout(a.ctx, retryFirst)
	defer cancel()
	if v, err := a.runtime.Version(ctx); err == nil {
		info.ContainerRuntimeVersion = v
	}
	return info
}

// line returns the contents of a file of one line, or "".
func line(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func osImage() string {
	for l := range strings.Lines(line("/etc/os-release")) {
		if name, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return "Linux"
}
