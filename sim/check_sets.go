package sim

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// ordinal is the number at the end of a name; -1 if there is none.
func ordinal(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
	if err != nil {
		return -1
	}
	return n
}

// ordinals says that an ordered StatefulSet makes a pod only when all before it
// serve, and takes one away only when all after it are gone or, in an update,
// serve.
func (c *checker) ordinals(w write) {
	if w.by != "statefulset" || w.op.Kind != resource.Pods.Info || w.op.Subresource != "" {
		return
	}
	e := w.seen.Entry(w.op.Kind, view.Key{Namespace: w.op.Namespace, Name: w.op.Name})
	pod, _ := w.obj.(*corev1.Pod)
	if w.op.Verb == resource.Delete && e != nil {
		pod = e.Object.(*corev1.Pod)
	}
	if pod == nil {
		return
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return
	}
	set, ok := view.Get(w.seen, resource.StatefulSets, pod.Namespace, owner.Name)
	if !ok || set.UID != owner.UID || set.Spec.PodManagementPolicy == appsv1.ParallelPodManagement {
		return
	}
	peers, n := map[int]*corev1.Pod{}, ordinal(pod.Name)
	for _, p := range controlledBy(w.seen, set.UID) {
		peers[ordinal(p.Name)] = p
	}
	switch {
	case w.op.Verb == resource.Create:
		for i := range n {
			if p := peers[i]; p == nil || !serving(p) {
				c.violate("pod %s is made before %s-%d serves", pod.Name, set.Name, i)
			}
		}
	case w.op.Verb == resource.Delete && !resource.PodTerminal(pod):
		updating := n < int(ptr.Deref(set.Spec.Replicas, 1))
		for i, p := range peers {
			if i > n && (!updating || i < int(ptr.Deref(set.Spec.Replicas, 1)) && !serving(p)) {
				c.violate("pod %s goes before %s", pod.Name, p.Name)
			}
		}
	}
}

func (c *checker) statefulSets(v *view.View) {
	for set := range view.List(v, resource.StatefulSets, "") {
		want, st := int(ptr.Deref(set.Spec.Replicas, 1)), set.Status
		partition := 0
		if u := set.Spec.UpdateStrategy.RollingUpdate; u != nil {
			partition = int(ptr.Deref(u.Partition, 0))
		}
		pods := controlledBy(v, set.UID)
		if n := count(pods, serving); n != want || len(pods) != want || int(st.ReadyReplicas) != want || st.ObservedGeneration != set.Generation {
			c.violate("StatefulSet %s has not settled at %d, with %d pods: %+v", set.Name, want, len(pods), st)
		}
		for _, p := range pods {
			n := ordinal(p.Name)
			if n < 0 || n >= want {
				c.violate("StatefulSet %s has pod %s, of %d", set.Name, p.Name, want)
			}
			if n >= partition && p.Labels[appsv1.StatefulSetRevisionLabel] != st.UpdateRevision {
				c.violate("pod %s is not of revision %s", p.Name, st.UpdateRevision)
			}
		}
	}
}

// target is the node that a daemon's pod is for.
func target(p *corev1.Pod) string {
	if a := p.Spec.Affinity; p.Spec.NodeName == "" && a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			for _, f := range term.MatchFields {
				if len(f.Values) == 1 {
					return f.Values[0]
				}
			}
		}
	}
	return p.Spec.NodeName
}

// oneDaemon says that a DaemonSet makes at most one pod for a node, and
// in a surging update one more.
func (c *checker) oneDaemon(w write) {
	pod, ok := w.obj.(*corev1.Pod)
	if w.by != "daemon-set" || !ok || w.op.Verb != resource.Create {
		return
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		c.violate("pod %s is made without an owner", pod.Name)
		return
	}
	node, most := target(pod), 1
	if d, ok := view.Get(w.seen, resource.DaemonSets, pod.Namespace, owner.Name); ok {
		if u := d.Spec.UpdateStrategy.RollingUpdate; u != nil && ptr.Deref(u.MaxSurge, fromInt(0)) != fromInt(0) {
			most++ // the old pod goes once the new one serves
		}
	}
	n := count(controlledBy(w.now, owner.UID), func(p *corev1.Pod) bool { return resource.PodActive(p) && target(p) == node })
	if n > most+c.silent() {
		c.violate("DaemonSet %s has %d pods on %s", owner.Name, n, node)
	}
}

func (c *checker) daemonSets(v *view.View) {
	for d := range view.List(v, resource.DaemonSets, "") {
		want, st := int32(len(nodeNames)), d.Status
		if st.ObservedGeneration != d.Generation || st.NumberAvailable != want || st.UpdatedNumberScheduled != want || st.NumberMisscheduled != 0 {
			c.violate("DaemonSet %s has not settled: %+v", d.Name, st)
		}
		on := map[string]int{}
		for _, p := range controlledBy(v, d.UID) {
			on[p.Spec.NodeName]++
		}
		for _, node := range nodeNames {
			if on[node] != 1 {
				c.violate("DaemonSet %s has %d pods on %s", d.Name, on[node], node)
			}
		}
	}
}
