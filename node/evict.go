package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/component-helpers/resource"
	schedulinghelpers "k8s.io/component-helpers/scheduling/corev1"
)

// Pressure is what a node remembers of what has run low.
type Pressure struct {
	// Since is when a threshold began to be crossed, by its place in the list.
	Since map[int]time.Time
	// Seen is when a condition was last found to hold.
	Seen map[corev1.NodeConditionType]time.Time
}

// pressureStays is how long a condition holds after its cause is gone, so that it
// does not flap (upstream's evictionPressureTransitionPeriod).
const pressureStays = 5 * time.Minute

// Next takes in what there is now. It returns the conditions that hold, and the
// thresholds that have been crossed for too long, the first to be relieved first.
func (p Pressure) Next(f Figures, thresholds []Threshold, now time.Time) (Pressure, Scarcity, []Threshold) {
	next := Pressure{Since: map[int]time.Time{}, Seen: maps.Clone(p.Seen)}
	if next.Seen == nil {
		next.Seen = map[corev1.NodeConditionType]time.Time{}
	}
	var over []Threshold
	for i, t := range thresholds {
		if !t.met(f) {
			continue
		}
		next.Seen[t.Signal.condition()] = now
		since, before := p.Since[i]
		if !before {
			since = now
		}
		next.Since[i] = since
		if now.Sub(since) >= t.Grace {
			over = append(over, t)
		}
	}
	holds := func(c corev1.NodeConditionType) bool {
		at, ok := next.Seen[c]
		return ok && now.Sub(at) < pressureStays
	}
	return next, Scarcity{
		Memory: holds(corev1.NodeMemoryPressure), Disk: holds(corev1.NodeDiskPressure), PIDs: holds(corev1.NodePIDPressure),
	}, over
}

// conditions names those that hold, as the Node has them.
func (s Scarcity) conditions() []string {
	var names []string
	if s.Disk {
		names = append(names, string(corev1.NodeDiskPressure))
	}
	if s.Memory {
		names = append(names, string(corev1.NodeMemoryPressure))
	}
	if s.PIDs {
		names = append(names, string(corev1.NodePIDPressure))
	}
	return names
}

// Refuse says why a node short of something does not take a pod, or nil. Where it is
// memory alone, pods that say what they need are taken.
func (s Scarcity) Refuse(pod *corev1.Pod) *Refusal {
	names := s.conditions()
	if len(names) == 0 || critical(pod) {
		return nil
	}
	if s == (Scarcity{Memory: true}) {
		taint := corev1.Taint{Key: corev1.TaintNodeMemoryPressure, Effect: corev1.TaintEffectNoSchedule}
		if QOSClass(pod) != corev1.PodQOSBestEffort || schedulinghelpers.TolerationsTolerateTaint(logr.Discard(), pod.Spec.Tolerations, &taint, true) {
			return nil
		}
	}
	return &Refusal{evicted, fmt.Sprintf("The node had condition: %v. ", names)}
}

// Load is a pod with what it uses of the node.
type Load struct {
	Pod        *corev1.Pod
	Known      bool   // what follows
	Memory     uint64 // working set, in bytes
	Processes  uint64
	Containers map[string]uint64 // memory of each that runs
}

// EvictionOrder sorts pods, those to end first in front, as upstream does: of what
// uses more memory than it asked for, of the lowest priority, the one that is
// furthest above.
func EvictionOrder(signal Signal, loads []Load) {
	requests := func(l *Load) uint64 {
		q := resource.PodRequests(l.Pod, resource.PodResourcesOptions{})[corev1.ResourceMemory]
		return uint64(q.Value())
	}
	slices.SortStableFunc(loads, func(a, b Load) int {
		if a.Known != b.Known {
			return trueFirst(!a.Known, !b.Known)
		}
		priority := cmp.Compare(schedulinghelpers.PodPriority(a.Pod), schedulinghelpers.PodPriority(b.Pod))
		if signal == PIDAvailable {
			return cmp.Or(priority, cmp.Compare(b.Processes, a.Processes))
		}
		return cmp.Or(trueFirst(a.Memory > requests(&a), b.Memory > requests(&b)), priority,
			cmp.Compare(int64(b.Memory)-int64(requests(&b)), int64(a.Memory)-int64(requests(&a))))
	})
}

func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// EvictionMessage tells why a pod was ended, in upstream's words.
func EvictionMessage(t Threshold, f Figures, l Load) string {
	format, name := apiresource.BinarySI, "memory"
	if t.Signal == PIDAvailable {
		format, name = apiresource.DecimalSI, "pids"
	}
	available, all := f.of(t.Signal)
	quantity := func(n uint64) string { return apiresource.NewQuantity(int64(n), format).String() }
	var out strings.Builder
	fmt.Fprintf(&out, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ", name, quantity(t.least(all)), quantity(available))
	if t.Signal != MemoryAvailable {
		return out.String()
	}
	for _, c := range everyContainer(l.Pod) {
		request := c.Resources.Requests[corev1.ResourceMemory]
		if used := l.Containers[c.Name]; used > uint64(request.Value()) {
			fmt.Fprintf(&out, "Container %s was using %s, request is %s, has larger consumption of %s. ", c.Name, quantity(used), request.String(), name)
		}
	}
	return out.String()
}

// evictionGrace is the most time, in seconds, that a pod has to stop.
func evictionGrace(t Threshold, most int64) int64 {
	if t.Grace == 0 {
		return minimumGrace
	}
	return max(most, minimumGrace)
}
