// Package stats reads what a node, its pods and their containers use, in the form
// of upstream's summary. Everything is read when somebody asks, from the kernel's
// own counters.
package stats

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/skiff-sh/skiff/node/cgroup"
)

// Pod is what is looked at of a pod that runs.
type Pod struct {
	Ref     statsapi.PodReference
	Started time.Time
	Group   string // control group
	// Sandbox is the control group of a process in the pod's own network; "" where
	// the pod has the node's.
	Sandbox    string
	Containers []Container
	Volumes    []Volume
}

// Container is one that runs.
type Container struct {
	ID, Name string
	Started  time.Time
	Group    string // control group
	Logs     string // folder
}

// Volume is one whose content is measured.
type Volume struct {
	Name, Path string
	Claim      *statsapi.PVCReference
	// OnDisk says that it takes room of the node's own disk.
	OnDisk bool
}

// Reader reads what a node uses.
type Reader struct {
	node string
	log  *slog.Logger

	mu sync.Mutex
	// last holds each group's processor time when it was last read: a rate is what
	// was used since.
	last map[string]reading
}

type reading struct {
	at  time.Time
	cpu time.Duration
}

// New returns a reader for the node of a name.
func New(node string, log *slog.Logger) *Reader {
	return &Reader{node: node, log: log, last: map[string]reading{}}
}

// Usage returns processor time and memory of the node and of pods, which is
// little work.
func (r *Reader) Usage(pods []Pod) (*statsapi.Summary, error) {
	machine, err := machine()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.last
	r.last = map[string]reading{}
	s := &statsapi.Summary{Node: statsapi.NodeStats{NodeName: r.node, StartTime: metav1.NewTime(machine.started)}}
	s.Node.CPU = r.cpu("/", machine.CPU, before)
	s.Node.Memory, s.Node.Swap = memoryOf(machine.Usage, machine.Limit), swapOf(machine.Swap)
	s.Node.Swap.SwapAvailableBytes = &machine.swapFree
	for _, p := range pods {
		s.Pods = append(s.Pods, r.pod(p, before))
	}
	return s, nil
}

func (r *Reader) pod(p Pod, before map[string]reading) statsapi.PodStats {
	out := statsapi.PodStats{PodRef: p.Ref, StartTime: metav1.NewTime(p.Started), Containers: []statsapi.ContainerStats{}}
	if u, ok := r.read(p.Group); ok {
		out.CPU = r.cpu(p.Group, u.CPU, before)
		out.Memory, out.Swap = memoryOf(u, u.Limit), swapOf(u.Swap)
	}
	for _, c := range p.Containers {
		stats := statsapi.ContainerStats{Name: c.Name, StartTime: metav1.NewTime(c.Started)}
		if u, ok := r.read(c.Group); ok {
			stats.CPU = r.cpu(c.Group, u.CPU, before)
			stats.Memory, stats.Swap = memoryOf(u, u.Limit), swapOf(u.Swap)
		}
		out.Containers = append(out.Containers, stats)
	}
	return out
}

// read returns what a group uses; false where it is gone, as when its pod ends.
func (r *Reader) read(group string) (cgroup.Usage, bool) {
	u, err := cgroup.Read(group)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Debug("the use of a control group is not known", "group", group, "err", err)
	}
	return u, err == nil
}

// cpu tells a group's processor time, and the rate since it was read before.
func (r *Reader) cpu(group string, used time.Duration, before map[string]reading) *statsapi.CPUStats {
	now := time.Now()
	r.last[group] = reading{now, used}
	out := &statsapi.CPUStats{Time: metav1.NewTime(now), UsageCoreNanoSeconds: count(used)}
	if b, ok := before[group]; ok && used >= b.cpu && now.After(b.at) {
		out.UsageNanoCores = count(float64(used-b.cpu) / now.Sub(b.at).Seconds())
	}
	return out
}

func memoryOf(u cgroup.Usage, limit uint64) *statsapi.MemoryStats {
	out := &statsapi.MemoryStats{
		Time: metav1.Now(), UsageBytes: &u.Memory, WorkingSetBytes: &u.WorkingSet, RSSBytes: &u.RSS,
		PageFaults: &u.PageFaults, MajorPageFaults: &u.MajorPageFaults,
	}
	if limit > 0 {
		out.AvailableBytes = count(limit - min(limit, u.WorkingSet))
	}
	return out
}

func swapOf(used uint64) *statsapi.SwapStats {
	return &statsapi.SwapStats{Time: metav1.Now(), SwapUsageBytes: &used}
}

// count is a number as the API wants it.
func count[N ~int64 | ~uint64 | ~float64](n N) *uint64 {
	value := uint64(n)
	return &value
}
