package sim

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// write is a write of a component that succeeded: what it was, what the component
// saw when it decided, and what was and is so at the server.
type write struct {
	by                string
	op                client.Op
	obj               resource.Object
	seen, before, now *view.View
}

// The laws: on each write, on each change of an object, and on a cluster that has
// settled.
var (
	writeLaws = []func(*checker, write){
		(*checker).replicas, (*checker).surge, (*checker).ordinals, (*checker).oneDaemon,
		(*checker).parallelism, (*checker).concurrency, (*checker).collected, (*checker).foreground, (*checker).allowed,
		(*checker).ownPods, (*checker).serves,
	}
	changeLaws = []func(*checker, watchcache.Change, *view.View){
		(*checker).bound, (*checker).observed, (*checker).rolledOut, (*checker).ended, (*checker).emptied,
	}
	settledLaws = []func(*checker, *view.View){
		(*checker).owners, (*checker).deployments, (*checker).replicaSets, (*checker).statefulSets, (*checker).daemonSets,
		(*checker).jobs, (*checker).cronJobs, (*checker).endpoints, (*checker).budgets, (*checker).bounds,
	}
)

// checker knows what must always hold.
type checker struct {
	sim        *Sim
	reader     *watchcache.Reader
	violations []string
	terms      int
	byKind     map[schema.GroupKind]*resource.Info

	orphaned map[types.UID]types.UID // from those left over by an orphaning deletion to their owner
	evicted  map[types.UID]time.Time // ready pods that budgets let go
	finished map[types.UID]map[types.UID]corev1.PodPhase
	refusals map[string][]time.Time // when the same write was last refused
}

func newChecker(s *Sim) *checker {
	c := &checker{
		sim: s, byKind: map[schema.GroupKind]*resource.Info{}, orphaned: map[types.UID]types.UID{},
		evicted: map[types.UID]time.Time{}, finished: map[types.UID]map[types.UID]corev1.PodPhase{},
		refusals: map[string][]time.Time{},
	}
	for _, info := range resource.All() {
		c.byKind[info.GVK.GroupKind()] = info
	}
	return c
}

func (c *checker) violate(format string, args ...any) {
	c.violations = append(c.violations, c.sim.clock.Now().Sub(Epoch).String()+": "+fmt.Sprintf(format, args...))
}

func (c *checker) begin() {
	cache := c.sim.world.API.Cache()
	c.reader = cache.Read(cache.View().Revision(), resource.Pods.Info, resource.Deployments.Info, resource.ReplicaSets.Info,
		resource.StatefulSets.Info, resource.DaemonSets.Info, resource.Jobs.Info, resource.Namespaces.Info)
}

// step looks at what has changed at the server.
func (c *checker) step() {
	changes, v, err := c.reader.Poll()
	if err != nil {
		c.reader.Close()
		c.begin()
		return
	}
	for _, change := range changes {
		for _, law := range changeLaws {
			law(c, change, v)
		}
	}
	for _, change := range changes { // once all ends of pods are known
		if change.New == nil {
			continue
		}
		if job, ok := change.New.Object.(*batchv1.Job); ok {
			c.counted(job)
		}
	}
	if len(changes) > 0 {
		c.capacity(v)
	}
}

func (c *checker) wrote(w write) {
	for _, law := range writeLaws {
		law(c, w)
	}
}

// refused says that nobody asks again and again for what is refused: whoever waits
// longer each time, from 5 ms, comes to a fifth of this.
func (c *checker) refused(by string, op client.Op) {
	const most, within = 60, 10 * time.Second
	what, now := by+": "+op.String(), c.sim.clock.Now()
	if op.Verb == resource.Create && op.Object != nil { // whose names are drawn
		if owner := metav1.GetControllerOfNoCopy(op.Object); owner != nil {
			what = fmt.Sprintf("%s: create %s of %s", by, op.Kind.GVR.Resource, owner.Name)
		}
	}
	times := append(c.refusals[what], now)
	if len(times) > most {
		times = times[1:]
		if now.Sub(times[0]) < within {
			c.violate("%s is refused %d times within %s", what, most, within)
		}
	}
	c.refusals[what] = times
}

// settled says what is wrong with a cluster long after the last fault.
func (c *checker) settled(writes int) []string {
	if writes > 0 {
		c.violate("components still write: %d times in %s", writes, quiet)
	}
	for _, law := range settledLaws {
		law(c, c.sim.world.API.View())
	}
	wrong := c.violations
	c.violations = nil
	return wrong
}

// stored holds every change of the store against who leads: a deposed leader
// changes nothing, and nobody who must be elected writes without the fence.
func (c *checker) stored(w store.Write) {
	if w.While.Key == "" && c.sim.acting != nil {
		c.violate("a leader writes %s without a fence", w.Key)
	}
	if l := c.sim.leader; w.While.Key != "" && (l == nil || w.While != l.term) {
		c.violate("a deposed leader writes %s", w.Key)
	}
	if w.Key == resource.Leases.Info.Key(metav1.NamespaceSystem, leaderLease) && w.Value != nil {
		c.terms++
	}
}

// silent is how many writes may have been made once more, as who made them did not
// learn of their success.
func (c *checker) silent() int {
	_, silent := c.sim.faults.Counts()
	return silent + c.sim.silent
}

// bound holds a pod to the node that it was bound to first.
func (c *checker) bound(change watchcache.Change, _ *view.View) {
	if change.Old == nil || change.New == nil {
		return
	}
	pod, ok := change.New.Object.(*corev1.Pod)
	if !ok {
		return
	}
	old := change.Old.Object.(*corev1.Pod)
	if old.UID == pod.UID && old.Spec.NodeName != "" && old.Spec.NodeName != pod.Spec.NodeName {
		c.violate("pod %s is bound to %s and then to %s", pod.Name, old.Spec.NodeName, pod.Spec.NodeName)
	}
}

// capacity holds what each node is promised against what it has.
func (c *checker) capacity(v *view.View) {
	for n := range view.List(v, resource.Nodes, "") {
		var milli, count int64
		for p := range view.By(v, resource.Pods, resource.PodNodeIndex, n.Name) {
			if resource.PodTerminal(p) {
				continue
			}
			count++
			for i := range p.Spec.Containers {
				milli += p.Spec.Containers[i].Resources.Requests.Cpu().MilliValue()
			}
		}
		if milli > n.Status.Allocatable.Cpu().MilliValue() || count > n.Status.Allocatable.Pods().Value() {
			c.violate("node %s is promised to %d pods with %dm CPU", n.Name, count, milli)
		}
	}
}

// controlledBy are the pods of a controller; ready and active ones count apart.
func controlledBy(v *view.View, uid types.UID) (pods []*corev1.Pod) {
	for p := range view.By(v, resource.Pods, resource.OwnerIndex, string(uid)) {
		pods = append(pods, p)
	}
	return pods
}

func count(pods []*corev1.Pod, that func(*corev1.Pod) bool) (n int) {
	for _, p := range pods {
		if that(p) {
			n++
		}
	}
	return n
}

func serving(p *corev1.Pod) bool { return resource.PodActive(p) && resource.PodReady(p) }
