package replicaset

import (
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Kind is a kind whose objects ask for a number of pods.
type Kind[T resource.Object] struct {
	Name string // of the controller
	Kind *resource.Typed[T]
	// See returns an object as a ReplicaSet, to be read. Put writes the status of
	// that ReplicaSet into the object.
	See func(T) *appsv1.ReplicaSet
	Put func(T, appsv1.ReplicaSetStatus)
	// Terminating says that the status counts pods that are on their way out.
	Terminating bool
}

// set is an object of any such kind, as a ReplicaSet.
type set struct {
	*appsv1.ReplicaSet
	about       resource.Object // itself
	kind        *resource.Info
	terminating bool
	write       func(appsv1.ReplicaSetStatus) client.Op
}

// Of returns the controller of a kind.
func Of[T resource.Object](k Kind[T]) controller.Controller {
	selector := func(obj T) (labels.Selector, error) { return selectorOf(k.See(obj)) }
	return controller.Controller{
		Name:  k.Name,
		For:   k.Kind.Info,
		Reads: []controller.Input{{Kind: resource.Pods.Info, Keys: controller.KeysOfOwned(k.Kind, selector)}},
		Writes: []controller.Output{
			{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Create, resource.Delete, resource.Patch}},
			{Kind: k.Kind.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
			obj, ok := view.Get(v, k.Kind, key.Namespace, key.Name)
			if !ok {
				return controller.Plan{}
			}
			return reconcile(v, k.set(obj), now, rnd)
		},
	}
}

func (k Kind[T]) set(obj T) *set {
	return &set{
		ReplicaSet: k.See(obj), about: obj, kind: k.Kind.Info, terminating: k.Terminating,
		write: func(status appsv1.ReplicaSetStatus) client.Op {
			next := obj.DeepCopyObject().(T)
			k.Put(next, status)
			return client.UpdateStatus(k.Kind, next)
		},
	}
}
