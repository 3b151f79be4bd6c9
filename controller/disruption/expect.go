package disruption

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// expectation is how many pods there shall be, and how many of them healthy.
type expectation struct {
	pods, desired int32
	// unmanaged tells that pods without a controller were left out of the count.
	unmanaged bool
}

// expect takes the number of pods from the scale of their controllers, or, for
// a plain minAvailable, as it is.
func expect(v *view.View, b *policyv1.PodDisruptionBudget, pods []*corev1.Pod, scaled []*resource.Info) (expectation, error) {
	s := &b.Spec
	switch {
	case s.MaxUnavailable != nil:
		e, err := scaleOf(v, pods, scaled)
		if err != nil {
			return e, err
		}
		n, err := scaledValue(s.MaxUnavailable, e.pods)
		e.desired = max(e.pods-n, 0)
		return e, err
	case s.MinAvailable == nil:
		return expectation{}, nil
	case s.MinAvailable.Type == intstr.Int:
		return expectation{pods: int32(len(pods)), desired: s.MinAvailable.IntVal}, nil
	}
	e, err := scaleOf(v, pods, scaled)
	if err != nil {
		return e, err
	}
	e.desired, err = scaledValue(s.MinAvailable, e.pods)
	return e, err
}

// scaleOf adds up the scales of all controllers of the pods.
func scaleOf(v *view.View, pods []*corev1.Pod, scaled []*resource.Info) (expectation, error) {
	var e expectation
	seen := map[types.UID]bool{}
	for _, p := range pods {
		ref := metav1.GetControllerOf(p)
		if ref == nil {
			e.unmanaged = true
			continue
		}
		kind, owner := top(v, p.Namespace, ref, scaled)
		if owner == nil {
			return e, fmt.Errorf("found no controllers for pod %q", p.Name)
		}
		if !seen[owner.GetUID()] {
			seen[owner.GetUID()] = true
			e.pods += kind.Scale.Spec(owner)
		}
	}
	return e, nil
}

// top follows controllers upwards as long as they have a scale: from a replica
// set to its deployment.
func top(v *view.View, namespace string, ref *metav1.OwnerReference, scaled []*resource.Info) (*resource.Info, resource.Object) {
	var kind *resource.Info
	var owner resource.Object
	for ref != nil {
		gv, err := schema.ParseGroupVersion(ref.APIVersion)
		if err != nil {
			break
		}
		k, o := find(v, namespace, gv.Group, ref, scaled)
		if o == nil {
			break
		}
		kind, owner, ref = k, o, metav1.GetControllerOf(o)
	}
	return kind, owner
}

func find(v *view.View, namespace, group string, ref *metav1.OwnerReference, scaled []*resource.Info) (*resource.Info, resource.Object) {
	for _, kind := range scaled {
		if kind.GVK.Group != group || kind.GVK.Kind != ref.Kind {
			continue
		}
		if e := v.Entry(kind, view.Key{Namespace: namespace, Name: ref.Name}); e != nil && e.Object.GetUID() == ref.UID {
			return kind, e.Object
		}
	}
	return nil, nil
}
