package snapshot

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Workloads are the services and controllers whose selectors say which pods are
// of one kind, for pods that do not say how they want to be spread.
type Workloads struct {
	services map[string]map[string]labels.Set // selector by namespace and name
	owners   map[owner]labels.Selector
}

type owner struct {
	kind string // "ReplicaSet" or the like
	key  view.Key
}

func newWorkloads() Workloads {
	return Workloads{services: map[string]map[string]labels.Set{}, owners: map[owner]labels.Selector{}}
}

// Set takes over a service or a controller. Objects of other kinds are left alone.
func (w *Workloads) Set(obj resource.Object) {
	switch o := obj.(type) {
	case *corev1.Service:
		w.Remove(obj)
		if o.Spec.Selector == nil {
			return // matches nothing
		}
		in := w.services[o.Namespace]
		if in == nil {
			in = map[string]labels.Set{}
			w.services[o.Namespace] = in
		}
		in[o.Name] = o.Spec.Selector
	case *appsv1.ReplicaSet:
		w.owners[owner{"ReplicaSet", view.KeyOf(o)}] = NewSelector(o.Spec.Selector)
	case *appsv1.StatefulSet:
		w.owners[owner{"StatefulSet", view.KeyOf(o)}] = NewSelector(o.Spec.Selector)
	case *corev1.ReplicationController:
		w.owners[owner{"ReplicationController", view.KeyOf(o)}] = labels.Set(o.Spec.Selector).AsSelector()
	}
}

// Remove forgets a service or a controller.
func (w *Workloads) Remove(obj resource.Object) {
	key := view.KeyOf(obj)
	switch obj.(type) {
	case *corev1.Service:
		if delete(w.services[key.Namespace], key.Name); len(w.services[key.Namespace]) == 0 {
			delete(w.services, key.Namespace)
		}
	case *appsv1.ReplicaSet:
		delete(w.owners, owner{"ReplicaSet", key})
	case *appsv1.StatefulSet:
		delete(w.owners, owner{"StatefulSet", key})
	case *corev1.ReplicationController:
		delete(w.owners, owner{"ReplicationController", key})
	}
}

// Selector matches pods of the same kind as pod: those that its services and
// its controller all select. It is nil where nothing selects the pod.
func (w *Workloads) Selector(pod *corev1.Pod) labels.Selector {
	var merged labels.Set
	for _, selector := range w.services[pod.Namespace] {
		if matchesAll(selector, pod.Labels) {
			merged = labels.Merge(merged, selector)
		}
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	var own labels.Selector
	if ref != nil && (ref.APIVersion == "apps/v1" || ref.APIVersion == "v1") {
		own = w.owners[owner{ref.Kind, view.Key{Namespace: pod.Namespace, Name: ref.Name}}]
	}
	switch {
	case own == nil && len(merged) == 0:
		return nil
	case own == nil:
		return merged.AsSelector()
	case len(merged) == 0:
		return own
	}
	selector := merged.AsSelector()
	if requirements, ok := own.Requirements(); ok {
		selector = selector.Add(requirements...)
	}
	return selector
}

func matchesAll(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
