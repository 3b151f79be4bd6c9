package clienttest

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func (c *Client) delete(op client.Op) (resource.Object, error) {
	old := c.get(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name})
	if old == nil {
		return nil, apierrors.NewNotFound(op.Kind.GR(), op.Name)
	}
	opts := op.Delete
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	if p := opts.Preconditions; p != nil {
		if p.UID != nil && *p.UID != old.GetUID() {
			return nil, apierrors.NewConflict(op.Kind.GR(), op.Name, fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s)", *p.UID, old.GetUID()))
		}
		if p.ResourceVersion != nil && *p.ResourceVersion != old.GetResourceVersion() {
			return nil, apierrors.NewConflict(op.Kind.GR(), op.Name, fmt.Errorf("the ResourceVersion in the precondition does not match"))
		}
	}
	obj := clone(old)
	propagate(obj, opts)
	keep := len(obj.GetFinalizers()) > 0
	var grace int64
	if action, special := c.deletion(op.Kind, obj, opts); special {
		keep = keep || action.Keep
		if action.Grace != nil && *action.Grace > 0 {
			keep, grace = true, *action.Grace
		}
		if action.Update != nil {
			action.Update(obj)
		}
	}
	if !keep {
		return c.drop(op.Kind, obj), nil
	}
	if old.GetDeletionTimestamp() != nil && old.GetDeletionGracePeriodSeconds() != nil &&
		*old.GetDeletionGracePeriodSeconds() <= grace && slices.Equal(old.GetFinalizers(), obj.GetFinalizers()) {
		return old, nil
	}
	if obj.GetDeletionTimestamp() == nil {
		now := c.now()
		obj.SetDeletionTimestamp(&now)
		if op.Kind.HasGeneration {
			obj.SetGeneration(obj.GetGeneration() + 1)
		}
	}
	obj.SetDeletionGracePeriodSeconds(&grace)
	return c.store(op.Kind, obj), nil
}

// deletion is what the kind does on a delete. Pods and namespaces do what they
// do in the API even where the kind says nothing.
func (c *Client) deletion(info *resource.Info, obj resource.Object, opts *metav1.DeleteOptions) (resource.DeleteAction, bool) {
	if info.Delete != nil {
		return info.Delete(resource.Request{Verb: resource.Delete, Now: c.now()}, obj, opts), true
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
		if opts.GracePeriodSeconds != nil {
			grace = *opts.GracePeriodSeconds
		} else if o.Spec.TerminationGracePeriodSeconds != nil {
			grace = *o.Spec.TerminationGracePeriodSeconds
		}
		if o.Spec.NodeName == "" || o.Status.Phase == corev1.PodFailed || o.Status.Phase == corev1.PodSucceeded {
			grace = 0
		}
		return resource.DeleteAction{Grace: &grace}, true
	case *corev1.Namespace:
		return resource.DeleteAction{Keep: len(o.Spec.Finalizers) > 0, Update: func(resource.Object) {
			o.Status.Phase = corev1.NamespaceTerminating
		}}, true
	}
	return resource.DeleteAction{}, false
}

// propagate sets the finalizers that the propagation policy asks for.
func propagate(obj resource.Object, opts *metav1.DeleteOptions) {
	if opts.PropagationPolicy == nil {
		return
	}
	finalizers := slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool {
		return f == metav1.FinalizerDeleteDependents || f == metav1.FinalizerOrphanDependents
	})
	switch *opts.PropagationPolicy {
	case metav1.DeletePropagationForeground:
		finalizers = append(finalizers, metav1.FinalizerDeleteDependents)
	case metav1.DeletePropagationOrphan:
		finalizers = append(finalizers, metav1.FinalizerOrphanDependents)
	}
	obj.SetFinalizers(finalizers)
}

// action carries out the subresources of pods that are verbs.
func (c *Client) action(op client.Op) (resource.Object, error) {
	old := c.get(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name})
	if old == nil {
		return nil, apierrors.NewNotFound(op.Kind.GR(), op.Name)
	}
	if op.Subresource == "eviction" {
		op.Subresource, op.Verb = "", resource.Delete
		return c.delete(op)
	}
	binding, ok := op.Object.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("binding wants a Binding, got %T", op.Object))
	}
	pod := clone(old).(*corev1.Pod)
	if pod.DeletionTimestamp != nil || pod.Spec.NodeName != "" || binding.UID != "" && binding.UID != pod.UID {
		return nil, apierrors.NewConflict(op.Kind.GR(), op.Name, fmt.Errorf("pod %s is already assigned to node %q", pod.Name, pod.Spec.NodeName))
	}
	pod.Spec.NodeName = binding.Target.Name
	pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(p corev1.PodCondition) bool { return p.Type == corev1.PodScheduled })
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: c.now(),
	})
	return c.store(op.Kind, pod), nil
}
