package sim

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// revisionAnnotation is where a deployment counts its ReplicaSets' templates.
const revisionAnnotation = "deployment.kubernetes.io/revision"

// observed holds what a status says to have been seen against what there was.
func (c *checker) observed(change watchcache.Change, _ *view.View) {
	if change.New == nil {
		return
	}
	var seen int64
	switch obj := change.New.Object.(type) {
	case *appsv1.Deployment:
		seen = obj.Status.ObservedGeneration
	case *appsv1.ReplicaSet:
		seen = obj.Status.ObservedGeneration
	case *appsv1.StatefulSet:
		seen = obj.Status.ObservedGeneration
	case *appsv1.DaemonSet:
		seen = obj.Status.ObservedGeneration
	}
	if obj := change.New.Object; seen > obj.GetGeneration() {
		c.violate("%s has observed generation %d of %d", obj.GetName(), seen, obj.GetGeneration())
	}
}

// replicas says that a ReplicaSet makes no more pods than it saw that it is to.
func (c *checker) replicas(w write) {
	pod, ok := w.obj.(*corev1.Pod)
	if w.by != "replicaset" || !ok || w.op.Verb != resource.Create {
		return
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		c.violate("pod %s is made without an owner", pod.Name)
		return
	}
	rs, ok := view.Get(w.seen, resource.ReplicaSets, pod.Namespace, owner.Name)
	if !ok {
		c.violate("pod %s is made for a ReplicaSet that was not seen", pod.Name)
		return
	}
	active := count(controlledBy(w.now, owner.UID), resource.PodActive)
	if most := int(ptr.Deref(rs.Spec.Replicas, 1)) + c.silent(); active > most {
		c.violate("ReplicaSet %s has %d pods, of %d", rs.Name, active, most)
	}
}

// ownPods says that a ReplicaSet deletes no pods but its own.
func (c *checker) ownPods(w write) {
	if w.by != "replicaset" || w.op.Verb != resource.Delete {
		return
	}
	pod, ok := view.Get(w.before, resource.Pods, w.op.Namespace, w.op.Name)
	if ok && metav1.GetControllerOfNoCopy(pod) == nil {
		c.violate("a ReplicaSet deletes pod %s, which is not its own", pod.Name)
	}
}

// rolledOut says that a deployment does not tell of a change that it is rolled out
// before it has begun. Of no pods there is nothing to roll out.
func (c *checker) rolledOut(change watchcache.Change, v *view.View) {
	if change.New == nil {
		return
	}
	d, ok := change.New.Object.(*appsv1.Deployment)
	if !ok || d.DeletionTimestamp != nil || d.Spec.Paused || ptr.Deref(d.Spec.Replicas, 1) == 0 {
		return
	}
	want, st := ptr.Deref(d.Spec.Replicas, 1), d.Status
	if st.ObservedGeneration != d.Generation || st.Replicas != want || st.UpdatedReplicas != want || st.AvailableReplicas != want {
		return
	}
	for rs := range view.By(v, resource.ReplicaSets, resource.OwnerIndex, string(d.UID)) {
		if maps.Equal(rs.Spec.Template.Annotations, d.Spec.Template.Annotations) && ptr.Deref(rs.Spec.Replicas, 1) == want {
			return
		}
	}
	c.violate("deployment %s says that it is rolled out at generation %d, and has no ReplicaSet for it", d.Name, d.Generation)
}

// surge says that a rolling update asks for no more pods at once than it may.
func (c *checker) surge(w write) {
	rs, ok := w.obj.(*appsv1.ReplicaSet)
	if w.by != "deployment" || !ok || w.op.Verb == resource.Delete || w.op.Subresource != "" {
		return
	}
	owner := metav1.GetControllerOfNoCopy(rs)
	old, _ := view.Get(w.before, resource.ReplicaSets, rs.Namespace, rs.Name)
	if owner == nil || old != nil && ptr.Deref(old.Spec.Replicas, 1) >= ptr.Deref(rs.Spec.Replicas, 1) {
		return
	}
	d, ok := view.Get(w.seen, resource.Deployments, rs.Namespace, owner.Name)
	if !ok || d.UID != owner.UID || d.Spec.Strategy.RollingUpdate == nil {
		return
	}
	replicas := int(ptr.Deref(d.Spec.Replicas, 1))
	surge, err := intstr.GetScaledValueFromIntOrPercent(d.Spec.Strategy.RollingUpdate.MaxSurge, replicas, true)
	if err != nil {
		return
	}
	total := 0
	for r := range view.By(w.now, resource.ReplicaSets, resource.OwnerIndex, string(owner.UID)) {
		total += int(ptr.Deref(r.Spec.Replicas, 1))
	}
	if total > replicas+surge {
		c.violate("deployment %s asks for %d pods, %d at most", d.Name, total, replicas+surge)
	}
}

func (c *checker) deployments(v *view.View) {
	for d := range view.List(v, resource.Deployments, "") {
		if d.Namespace == metav1.NamespaceSystem {
			continue
		}
		want, st := ptr.Deref(d.Spec.Replicas, 1), d.Status
		if st.ObservedGeneration != d.Generation || st.Replicas != want || st.UpdatedReplicas != want || st.AvailableReplicas != want {
			c.violate("deployment %s has not settled at %d: %+v", d.Name, want, st)
		}
		old, revisions := 0, map[string]string{}
		for rs := range view.By(v, resource.ReplicaSets, resource.OwnerIndex, string(d.UID)) {
			n := rs.Annotations[revisionAnnotation]
			if other := revisions[n]; other != "" {
				c.violate("ReplicaSets %s and %s are both revision %s", rs.Name, other, n)
			}
			revisions[n] = rs.Name
			if ptr.Deref(rs.Spec.Replicas, 1) == 0 {
				old++
			}
		}
		if keep := int(ptr.Deref(d.Spec.RevisionHistoryLimit, 10)); old > keep+1 {
			c.violate("deployment %s keeps %d old ReplicaSets, of %d", d.Name, old, keep)
		}
	}
}

func (c *checker) replicaSets(v *view.View) {
	for rs := range view.List(v, resource.ReplicaSets, "") {
		want := int(ptr.Deref(rs.Spec.Replicas, 1))
		if n := count(controlledBy(v, rs.UID), serving); n != want || int(rs.Status.ReadyReplicas) != want {
			c.violate("ReplicaSet %s has %d ready pods and says %d, of %d", rs.Name, n, rs.Status.ReadyReplicas, want)
		}
	}
}
