package sim

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// forgiven is how long an eviction that was granted counts as under way where
// nobody saw its pod go: upstream's DeletionTimeout.
const forgiven = 2 * time.Minute

// covered are the pods that a budget is about.
func covered(v *view.View, b *policyv1.PodDisruptionBudget) (pods []*corev1.Pod) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return nil
	}
	for p := range view.List(v, resource.Pods, b.Namespace) {
		if selector.Matches(labels.Set(p.Labels)) {
			pods = append(pods, p)
		}
	}
	return pods
}

// wasEvicted looks at what an eviction came to: a ready pod goes only if its
// budget allowed that.
func (c *checker) wasEvicted(e *view.Entry, before *view.View) {
	pod := e.Object.(*corev1.Pod)
	now, there := view.Get(c.sim.world.API.View(), resource.Pods, pod.Namespace, pod.Name)
	if !serving(pod) || there && now.UID == pod.UID && now.DeletionTimestamp == nil {
		return
	}
	c.evicted[pod.UID] = c.sim.clock.Now()
	for b := range view.List(before, resource.PodDisruptionBudgets, pod.Namespace) {
		for _, p := range covered(before, b) {
			if p.UID == pod.UID && (b.Status.DisruptionsAllowed < 1 || b.Status.ObservedGeneration < b.Generation) {
				c.violate("pod %s is evicted, but its budget allows %d", pod.Name, b.Status.DisruptionsAllowed)
			}
		}
	}
}

// allowed says that a budget never allows what would leave too few: pods that are
// being evicted do not count, whether their end was seen or not.
func (c *checker) allowed(w write) {
	b, ok := w.obj.(*policyv1.PodDisruptionBudget)
	if w.by != "disruption" || !ok {
		return
	}
	healthy := 0
	for _, p := range covered(w.seen, b) {
		at, gone := c.evicted[p.UID]
		if serving(p) && !(gone && c.sim.clock.Now().Sub(at) < forgiven) {
			healthy++
		}
	}
	if most := max(0, healthy-int(b.Status.DesiredHealthy)); int(b.Status.DisruptionsAllowed) > most {
		c.violate("budget %s allows %d disruptions, of %d", b.Name, b.Status.DisruptionsAllowed, most)
	}
}

func (c *checker) budgets(v *view.View) {
	for b := range view.List(v, resource.PodDisruptionBudgets, "") {
		healthy := count(covered(v, b), serving)
		if int(b.Status.CurrentHealthy) != healthy || b.Status.ObservedGeneration != b.Generation {
			c.violate("budget %s says that %d pods are healthy, of %d", b.Name, b.Status.CurrentHealthy, healthy)
		}
	}
}

// bounds says that what is scaled by itself is within its bounds.
func (c *checker) bounds(v *view.View) {
	for h := range view.List(v, resource.HorizontalPodAutoscalers, "") {
		d, ok := view.Get(v, resource.Deployments, h.Namespace, h.Spec.ScaleTargetRef.Name)
		if !ok {
			continue
		}
		if n := ptr.Deref(d.Spec.Replicas, 1); n != 0 && (n < ptr.Deref(h.Spec.MinReplicas, 1) || n > h.Spec.MaxReplicas) {
			c.violate("deployment %s has %d replicas, beyond its autoscaler's bounds", d.Name, n)
		}
	}
}

// serves says that a slice leads to no pod that was seen to be going.
func (c *checker) serves(w write) {
	slice, ok := w.obj.(*discoveryv1.EndpointSlice)
	if w.by != "endpointslice" || !ok || w.op.Verb == resource.Delete {
		return
	}
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		if e.TargetRef == nil || !ptr.Deref(e.Conditions.Ready, true) {
			continue
		}
		if p, ok := view.Get(w.seen, resource.Pods, slice.Namespace, e.TargetRef.Name); ok && p.DeletionTimestamp != nil {
			c.violate("slice %s leads to pod %s, which is going", slice.Name, p.Name)
		}
	}
}

// endpoints holds what services lead to against the pods that are ready.
func (c *checker) endpoints(v *view.View) {
	have := map[view.Key]int{}
	for slice := range view.List(v, resource.EndpointSlices, "") {
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if e.TargetRef == nil || !ptr.Deref(e.Conditions.Ready, true) {
				continue
			}
			p, ok := view.Get(v, resource.Pods, slice.Namespace, e.TargetRef.Name)
			if !ok || p.UID != e.TargetRef.UID || !resource.PodReady(p) {
				c.violate("slice %s leads to pod %s, which is not ready", slice.Name, e.TargetRef.Name)
				continue
			}
			have[view.Key{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}]++
		}
	}
	for svc := range view.List(v, resource.Services, "") {
		name := svc.Spec.Selector["app"]
		if name == "" {
			continue
		}
		ready := 0
		for p := range view.List(v, resource.Pods, svc.Namespace) {
			if p.Labels["app"] == name && serving(p) {
				ready++
			}
		}
		if n := have[view.KeyOf(svc)]; n != ready {
			c.violate("service %s leads to %d pods, of %d", svc.Name, n, ready)
		}
	}
}
