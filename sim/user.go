package sim

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// namespaces are where users work. The second is deleted and made again.
var namespaces = []string{metav1.NamespaceDefault, "team"}

// acts are what users do, and how often.
var acts = []struct {
	weight int
	do     func(*Sim)
}{
	{22, (*Sim).create}, {18, (*Sim).scale}, {14, (*Sim).update}, {4, (*Sim).rollBack}, {4, (*Sim).pause},
	{10, (*Sim).deleteWorkload}, {4, (*Sim).deletePod}, {12, (*Sim).evict}, {4, (*Sim).drain},
	{3, (*Sim).toggleNamespace}, {5, (*Sim).budget}, {4, (*Sim).autoscale},
}

func (s *Sim) user() {
	total := 0
	for _, act := range acts {
		total += act.weight
	}
	n := s.rnd.IntN(total)
	for _, act := range acts {
		if n -= act.weight; n < 0 {
			act.do(s)
			return
		}
	}
}

// workloads are the objects that users made, or left over as orphans, of kinds
// that make pods.
func (s *Sim) workloads(kinds ...*resource.Info) []*view.Entry {
	var all []*view.Entry
	for _, kind := range kinds {
		for _, ns := range namespaces {
			for e := range s.world.API.View().Entries(kind, ns, view.Key{}) {
				if e.Object.GetDeletionTimestamp() == nil && metav1.GetControllerOfNoCopy(e.Object) == nil {
					all = append(all, e)
				}
			}
		}
	}
	return all
}

// some picks a workload of some kinds; nil if there is none.
func (s *Sim) some(kinds ...*resource.Info) *view.Entry {
	if all := s.workloads(kinds...); len(all) > 0 {
		return pick(s, all)
	}
	return nil
}

func patch(e *view.Entry, subresource string, body map[string]any) client.Op {
	op := client.MergePatch(resource.Pods, e.Key.Namespace, e.Key.Name, subresource, body)
	op.Kind = e.Info
	return op
}

func (s *Sim) scale() {
	e := s.some(resource.Deployments.Info, resource.StatefulSets.Info, resource.ReplicaSets.Info, resource.Jobs.Info)
	switch {
	case e == nil:
	case e.Info == resource.Jobs.Info:
		_ = s.as(patch(e, "", spec("parallelism", s.rnd.IntN(3))))
	case s.rnd.IntN(3) == 0:
		_ = s.as(patch(e, "scale", spec("replicas", s.rnd.IntN(5))))
	default:
		_ = s.as(patch(e, "", spec("replicas", s.rnd.IntN(5))))
	}
}

// template is a change of a workload's pods.
func template(version string) map[string]any {
	return spec("template", map[string]any{"metadata": map[string]any{"annotations": map[string]string{"version": version}}})
}

func (s *Sim) update() {
	e := s.some(resource.Deployments.Info, resource.StatefulSets.Info, resource.DaemonSets.Info)
	if e == nil {
		return
	}
	if e.Info == resource.StatefulSets.Info && s.rnd.IntN(3) == 0 {
		_ = s.as(patch(e, "", spec("updateStrategy", map[string]any{"rollingUpdate": map[string]any{"partition": s.rnd.IntN(3)}})))
	}
	_ = s.as(patch(e, "", template(fmt.Sprint(s.rnd.IntN(20)))))
}

// rollBack makes a deployment what one of its ReplicaSets was made from.
func (s *Sim) rollBack() {
	e := s.some(resource.Deployments.Info)
	if e == nil {
		return
	}
	for rs := range view.By(s.world.API.View(), resource.ReplicaSets, resource.OwnerIndex, string(e.Object.GetUID())) {
		_ = s.as(patch(e, "", template(rs.Spec.Template.Annotations["version"])))
		return
	}
}

func (s *Sim) pause() {
	if e := s.some(resource.Deployments.Info); e != nil {
		_ = s.as(patch(e, "", spec("paused", s.rnd.IntN(2) == 0)))
	}
	if e := s.some(resource.Jobs.Info); e != nil && s.rnd.IntN(2) == 0 {
		_ = s.as(patch(e, "", spec("suspend", s.rnd.IntN(3) == 0)))
	}
}

func (s *Sim) deleteWorkload() {
	e := s.some(makers...)
	if e == nil {
		return
	}
	how := pick(s, []metav1.DeletionPropagation{
		metav1.DeletePropagationBackground, metav1.DeletePropagationBackground,
		metav1.DeletePropagationForeground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan,
	})
	_ = s.as(remove(e, how))
}

func remove(e *view.Entry, how metav1.DeletionPropagation) client.Op {
	return client.Op{
		Verb: resource.Delete, Kind: e.Info, Namespace: e.Key.Namespace, Name: e.Key.Name,
		Delete: &metav1.DeleteOptions{PropagationPolicy: &how},
	}
}

// deletePod kills a pod, and every pod that an orphaning deletion has left over.
func (s *Sim) deletePod() {
	if e := s.somePod(); e != nil {
		_ = s.as(remove(e, metav1.DeletePropagationBackground))
	}
	for _, e := range s.workloads(resource.Pods.Info) {
		_ = s.as(remove(e, metav1.DeletePropagationBackground))
	}
}

func (s *Sim) somePod() *view.Entry {
	var all []*view.Entry
	for _, ns := range namespaces {
		for e := range s.world.API.View().Entries(resource.Pods.Info, ns, view.Key{}) {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return pick(s, all)
}

func (s *Sim) evict() {
	for range 1 + s.rnd.IntN(3) {
		if e := s.somePod(); e != nil {
			_ = s.as(eviction(e.Key))
		}
	}
}

func eviction(pod view.Key) client.Op {
	return client.Op{
		Verb: resource.Create, Kind: resource.Pods.Info, Subresource: "eviction", Namespace: pod.Namespace, Name: pod.Name,
		Object: &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}},
	}
}

// drain evicts what runs on a node that takes no more pods, or lets it take some
// again.
func (s *Sim) drain() {
	name := pick(s, nodeNames)
	if s.rnd.IntN(2) == 0 {
		_ = s.as(client.MergePatch(nodes, "", name, "", spec("unschedulable", nil)))
		return
	}
	_ = s.as(client.MergePatch(nodes, "", name, "", spec("unschedulable", true)))
	for p := range view.By(s.world.API.View(), resource.Pods, resource.PodNodeIndex, name) {
		_ = s.as(eviction(view.KeyOf(p)))
	}
}

func (s *Sim) toggleNamespace() {
	ns, there := view.Get(s.world.API.View(), resource.Namespaces, "", namespaces[1])
	switch {
	case !there:
		s.makeNamespace()
	case ns.DeletionTimestamp == nil:
		_ = s.as(client.Delete(resource.Namespaces, ns))
	}
}

func (s *Sim) makeNamespace() {
	_ = s.as(client.Create(resource.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaces[1]}}))
}

// budget says how many of a workload's pods must stay.
func (s *Sim) budget() {
	e := s.some(resource.Deployments.Info, resource.StatefulSets.Info)
	if e == nil {
		return
	}
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Key.Namespace, Name: e.Key.Name},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: app(e.Key.Name)}},
	}
	if s.rnd.IntN(2) == 0 {
		b.Spec.MinAvailable = ptr.To(fromInt(1 + s.rnd.IntN(3)))
	} else {
		b.Spec.MaxUnavailable = ptr.To(fromInt(s.rnd.IntN(2)))
	}
	_ = s.as(client.Create(resource.PodDisruptionBudgets, b))
}
