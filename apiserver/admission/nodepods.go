package admission

import (
	"fmt"
	"maps"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func restrictPod(v *view.View, node string, a *Attributes) error {
	switch a.Subresource {
	case "":
		switch a.Operation {
		case admissionv1.Create:
			return restrictMirror(v, node, a.Object.(*corev1.Pod))
		case admissionv1.Delete:
			return onNode(v, node, a, fmt.Errorf("node %q can only delete pods with spec.nodeName set to itself", node))
		}
		return fmt.Errorf("unexpected operation %q, node %q can only create and delete mirror pods", a.Operation, node)
	case "status":
		if a.Operation != admissionv1.Update {
			return fmt.Errorf("unexpected operation %q", a.Operation)
		}
		return restrictPodStatus(node, a.Object.(*corev1.Pod), a.Old.(*corev1.Pod))
	case "eviction":
		return onNode(v, node, a, fmt.Errorf("node %s can only evict pods with spec.nodeName set to itself", node))
	}
	return fmt.Errorf("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", a.Subresource)
}

// onNode returns otherwise unless the stored pod is on the node.
func onNode(v *view.View, node string, a *Attributes, otherwise error) error {
	pod, ok := view.Get(v, resource.Pods, a.Namespace, a.Name)
	switch {
	case !ok:
		return apierrors.NewNotFound(resource.Pods.Info.GR(), a.Name)
	case pod.Spec.NodeName != node:
		return otherwise
	}
	return nil
}

// restrictMirror lets a node show pods that it runs by itself, and only such as
// give it no access to anything.
func restrictMirror(v *view.View, node string, pod *corev1.Pod) error {
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; !mirror {
		return fmt.Errorf("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return fmt.Errorf("node %q can only create pods with spec.nodeName set to itself", node)
	}
	if err := ownedByNode(v, node, pod); err != nil {
		return err
	}
	if what := resource.PodRefersTo(pod); what != "" {
		return fmt.Errorf("node %q can not create pods that reference %s", node, what)
	}
	return nil
}

func ownedByNode(v *view.View, node string, pod *corev1.Pod) error {
	if len(pod.OwnerReferences) > 1 {
		return fmt.Errorf("node %q can only create pods with a single owner reference set to itself", node)
	}
	if len(pod.OwnerReferences) == 0 {
		return fmt.Errorf("node %q can only create pods with an owner reference set to itself", node)
	}
	owner := pod.OwnerReferences[0]
	switch {
	case owner.APIVersion != "v1" || owner.Kind != "Node" || owner.Name != node:
		return fmt.Errorf("node %q can only create pods with an owner reference set to itself", node)
	case owner.Controller == nil || !*owner.Controller:
		return fmt.Errorf("node %q can only create pods with a controller owner reference set to itself", node)
	case owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion:
		return fmt.Errorf("node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	stored, ok := view.Get(v, resource.Nodes, "", node)
	if !ok {
		return apierrors.NewNotFound(resource.Nodes.Info.GR(), node)
	}
	if owner.UID != stored.UID {
		return fmt.Errorf("node %s UID mismatch: expected %s got %s", node, owner.UID, stored.UID)
	}
	return nil
}

func restrictPodStatus(node string, pod, old *corev1.Pod) error {
	equal := apiequality.Semantic.DeepEqual
	switch {
	case old.Spec.NodeName != node:
		return fmt.Errorf("node %q can only update pod status for pods with spec.nodeName set to itself", node)
	case !maps.Equal(pod.Labels, old.Labels):
		return fmt.Errorf("node %q cannot update labels through pod status", node)
	case !equal(pod.Status.ResourceClaimStatuses, old.Status.ResourceClaimStatuses):
		return fmt.Errorf("node %q cannot update resource claim statues", node)
	case !equal(pod.Status.ExtendedResourceClaimStatus, old.Status.ExtendedResourceClaimStatus):
		return fmt.Errorf("node %q cannot update extended resource claim status", node)
	case !equal(pod.Status.NodeAllocatableResourceClaimStatuses, old.Status.NodeAllocatableResourceClaimStatuses):
		return fmt.Errorf("node %q cannot update node allocatable resource claim statuses", node)
	}
	return nil
}
