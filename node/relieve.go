package node

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/node/cgroup"
)

// relieve looks at what is scarce, and ends a pod where that helps: one at a time,
// since its end may be enough. The disk is relieved by upkeep, which removes images.
func (a *Agent) relieve(ctx context.Context, now time.Time) Scarcity {
	f := a.figures()
	next, scarce, over := a.pressure.Next(f, a.thresholds, now)
	a.pressure = next
	var loads []Load
	ending := false
	if err := a.ask(ctx, func() {
		a.scarce = scarce
		for _, r := range a.pods {
			no := r.state.Refused
			ending = ending || no != nil && no.Reason == evicted && len(r.seen.Sandboxes) > 0 && !r.state.Cleaned
			if no == nil && !r.gone && r.pod.DeletionTimestamp == nil && !ended(r.state.Status.Phase) && !critical(r.pod) {
				loads = append(loads, a.loadOf(r))
			}
		}
	}); err != nil || ending {
		return scarce
	}
	for _, t := range over {
		if t.Signal.byPods() {
			a.evictFor(ctx, t, f, loads)
			break
		}
	}
	return scarce
}

// loadOf reads what a pod uses: a few small files. It runs in the loop.
func (a *Agent) loadOf(r *record) Load {
	group := CgroupParent(r.pod, a.host)
	l := Load{Pod: r.pod, Containers: map[string]uint64{}}
	if u, err := cgroup.Read(cgroup.OfPod(group)); err == nil {
		l.Known, l.Memory = true, u.WorkingSet
	}
	for i := range r.seen.Containers {
		c := &r.seen.Containers[i]
		if c.State != Running {
			continue
		}
		of := cgroup.OfContainer(group, c.ID)
		if u, err := cgroup.Read(of); err == nil {
			l.Containers[c.Name] = u.WorkingSet
		}
		if n, err := cgroup.Processes(of); err == nil {
			l.Processes += n
		}
	}
	return l
}

func (a *Agent) evictFor(ctx context.Context, t Threshold, f Figures, loads []Load) {
	EvictionOrder(t.Signal, loads)
	a.log.Warn("the node is short of something", "signal", t.Signal, "pods", len(loads))
	grace := evictionGrace(t, a.config.Eviction.MaxPodGrace)
	_ = a.ask(ctx, func() { // an agent that ends leaves it to the next
		for _, l := range loads {
			if a.evict(l.Pod.UID, EvictionMessage(t, f, l), grace) {
				return
			}
		}
	})
}

// memoryStall is what the kernel tells of: processes that waited for memory for a
// tenth of two seconds. Without CAP_SYS_RESOURCE the window is a multiple of these.
const memoryStall = "some 200000 2000000"

// feelPressure has the node looked at as soon as processes wait for memory, not only
// with the next heartbeat, where the kernel can tell (PSI), until ctx ends.
func (a *Agent) feelPressure(ctx context.Context) {
	f, err := os.OpenFile("/proc/pressure/memory", os.O_RDWR, 0)
	if err == nil {
		defer f.Close()
		_, err = f.Write([]byte(memoryStall + "\x00"))
	}
	if err != nil {
		a.log.Debug("the kernel does not tell of memory pressure", "err", err)
		return
	}
	wake, end, err := os.Pipe()
	if err != nil {
		a.log.Warn("memory pressure is not felt", "err", err)
		return
	}
	defer wake.Close()
	defer context.AfterFunc(ctx, func() { end.Close() })()
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}, {Fd: int32(wake.Fd()), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			a.log.Warn("memory pressure is no longer felt", "err", err)
			return
		}
		figures := a.figures()
		for _, t := range a.thresholds {
			if t.Signal.condition() == corev1.NodeMemoryPressure && t.met(figures) {
				a.reportSoon()
			}
		}
	}
}
