package sim

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/fault"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

var noFaults fault.Rates

// checker knows what must always hold.
type checker struct {
	sim        *Sim
	reader     *watchcache.Reader
	violations []string
}

func (c *checker) violate(format string, args ...any) {
	c.violations = append(c.violations, c.sim.clock.Now().Sub(Epoch).String()+": "+fmt.Sprintf(format, args...))
}

func (c *checker) begin() {
	cache := c.sim.world.API.Cache()
	c.reader = cache.Read(cache.View().Revision(), resource.Pods.Info, resource.Deployments.Info, resource.ReplicaSets.Info)
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
		if change.New == nil {
			continue
		}
		switch obj := change.New.Object.(type) {
		case *corev1.Pod:
			c.bound(change, obj)
		case *appsv1.Deployment:
			c.observed(obj, obj.Status.ObservedGeneration)
		case *appsv1.ReplicaSet:
			c.observed(obj, obj.Status.ObservedGeneration)
		}
	}
	if len(changes) > 0 {
		c.capacity(v)
	}
}

func (c *checker) bound(change watchcache.Change, pod *corev1.Pod) {
	if change.Old == nil {
		return
	}
	old := change.Old.Object.(*corev1.Pod)
	if old.UID == pod.UID && old.Spec.NodeName != "" && old.Spec.NodeName != pod.Spec.NodeName {
		c.violate("pod %s is bound to %s and then to %s", pod.Name, old.Spec.NodeName, pod.Spec.NodeName)
	}
}

func (c *checker) observed(obj metav1.Object, generation int64) {
	if generation > obj.GetGeneration() {
		c.violate("%s has observed generation %d of %d", obj.GetName(), generation, obj.GetGeneration())
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

// write looks at one write of a component: what it saw, and what was so.
func (c *checker) write(by string, op client.Op, obj resource.Object, err error, seen, before *view.View) {
	if err != nil {
		return
	}
	now := c.sim.world.API.View()
	switch {
	case by == "replicaset" && op.Kind == resource.Pods.Info && op.Verb == resource.Create:
		c.notTooMany(obj.(*corev1.Pod), seen, now)
	case by == "deployment" && op.Kind == resource.ReplicaSets.Info && op.Verb != resource.Delete && op.Subresource == "":
		c.surge(obj.(*appsv1.ReplicaSet), seen, before, now)
	case by == "garbage-collector" || by == "generic-garbage-collector":
		c.collected(op, before)
	}
}

func (c *checker) notTooMany(pod *corev1.Pod, seen, now *view.View) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		c.violate("pod %s is made without an owner", pod.Name)
		return
	}
	rs, ok := view.Get(seen, resource.ReplicaSets, pod.Namespace, owner.Name)
	if !ok {
		c.violate("pod %s is made for a ReplicaSet that was not seen", pod.Name)
		return
	}
	active := 0
	for p := range view.By(now, resource.Pods, resource.OwnerIndex, string(owner.UID)) {
		if resource.PodActive(p) {
			active++
		}
	}
	// Whoever does not learn that a write has happened may do it once more.
	_, silent := c.sim.faults.Counts()
	if most := int(ptr.Deref(rs.Spec.Replicas, 1)) + silent; active > most {
		c.violate("ReplicaSet %s has %d pods, of %d", rs.Name, active, most)
	}
}

func (c *checker) surge(rs *appsv1.ReplicaSet, seen, before, now *view.View) {
	owner := metav1.GetControllerOfNoCopy(rs)
	old, _ := view.Get(before, resource.ReplicaSets, rs.Namespace, rs.Name)
	if owner == nil || old != nil && ptr.Deref(old.Spec.Replicas, 1) >= ptr.Deref(rs.Spec.Replicas, 1) {
		return
	}
	d, ok := view.Get(seen, resource.Deployments, rs.Namespace, owner.Name)
	if !ok || d.Spec.Strategy.RollingUpdate == nil {
		return
	}
	replicas := int(ptr.Deref(d.Spec.Replicas, 1))
	surge, err := intstr.GetScaledValueFromIntOrPercent(d.Spec.Strategy.RollingUpdate.MaxSurge, replicas, true)
	if err != nil {
		return
	}
	total := 0
	for r := range view.By(now, resource.ReplicaSets, resource.OwnerIndex, string(owner.UID)) {
		total += int(ptr.Deref(r.Spec.Replicas, 1))
	}
	if total > replicas+surge {
		c.violate("deployment %s asks for %d pods, %d at most", d.Name, total, replicas+surge)
	}
}

// collected says that what the collector deletes has no owner that lives.
func (c *checker) collected(op client.Op, before *view.View) {
	e := before.Entry(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name})
	if op.Verb != resource.Delete || e == nil {
		return
	}
	for _, ref := range e.Object.GetOwnerReferences() {
		var owner resource.Object
		switch ref.Kind {
		case "ReplicaSet":
			if rs, ok := view.Get(before, resource.ReplicaSets, op.Namespace, ref.Name); ok {
				owner = rs
			}
		case "Deployment":
			if d, ok := view.Get(before, resource.Deployments, op.Namespace, ref.Name); ok {
				owner = d
			}
		}
		if owner != nil && owner.GetUID() == ref.UID && owner.GetDeletionTimestamp() == nil {
			c.violate("%s, but its owner %s lives", op, ref.Name)
		}
	}
}

// settled looks at the cluster long after the last fault.
func (c *checker) settled(writes int) {
	if writes > 0 {
		c.violate("components still write: %d times in two minutes", writes)
	}
	v := c.sim.world.API.View()
	ready := map[string]int{} // pods by deployment's name
	for p := range view.List(v, resource.Pods, "default") {
		owner := metav1.GetControllerOfNoCopy(p)
		if owner == nil {
			c.violate("pod %s has no owner", p.Name)
			continue
		}
		if rs, ok := view.Get(v, resource.ReplicaSets, p.Namespace, owner.Name); !ok || rs.UID != owner.UID {
			c.violate("pod %s is an orphan", p.Name)
		}
		if resource.PodReady(p) && resource.PodActive(p) {
			ready[p.Labels["app"]]++
		}
	}
	for rs := range view.List(v, resource.ReplicaSets, "default") {
		owner := metav1.GetControllerOfNoCopy(rs)
		if d, ok := view.Get(v, resource.Deployments, rs.Namespace, owner.Name); !ok || d.UID != owner.UID {
			c.violate("ReplicaSet %s is an orphan", rs.Name)
		}
	}
	for d := range view.List(v, resource.Deployments, "default") {
		want, st := ptr.Deref(d.Spec.Replicas, 1), d.Status
		if st.ObservedGeneration != d.Generation || st.Replicas != want || st.UpdatedReplicas != want || st.AvailableReplicas != want {
			c.violate("deployment %s has not settled at %d: %+v", d.Name, want, st)
		}
		if ready[d.Name] != int(want) {
			c.violate("deployment %s has %d ready pods, of %d", d.Name, ready[d.Name], want)
		}
	}
	c.endpoints(v, ready)
}

// endpoints holds what services lead to against the pods that are ready.
func (c *checker) endpoints(v *view.View, ready map[string]int) {
	have := map[string]int{}
	for slice := range view.List(v, resource.EndpointSlices, "default") {
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if e.TargetRef == nil || !ptr.Deref(e.Conditions.Ready, true) {
				continue
			}
			p, ok := view.Get(v, resource.Pods, "default", e.TargetRef.Name)
			if !ok || p.UID != e.TargetRef.UID || !resource.PodReady(p) {
				c.violate("slice %s leads to pod %s, which is not ready", slice.Name, e.TargetRef.Name)
				continue
			}
			have[p.Labels["app"]]++
		}
	}
	for svc := range view.List(v, resource.Services, "default") {
		if name := svc.Spec.Selector["app"]; name != "" && have[name] != ready[name] {
			c.violate("service %s leads to %d pods, of %d", svc.Name, have[name], ready[name])
		}
	}
}
