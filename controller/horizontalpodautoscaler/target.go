package horizontalpodautoscaler

import (
	"errors"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// target is the scale of what an autoscaler points at.
type target struct {
	kind     *resource.Info
	replicas int32 // asked for
	there    int32
	selector string
}

func targetOf(v *view.View, kinds []*resource.Info, hpa *autoscalingv2.HorizontalPodAutoscaler) (target, error) {
	ref := hpa.Spec.ScaleTargetRef
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return target{}, err
	}
	for _, info := range kinds {
		if info.GVK.Group != gv.Group || info.GVK.Kind != ref.Kind {
			continue
		}
		if info.Scale == nil {
			return target{}, errors.New("the server could not find the requested resource")
		}
		e := v.Entry(info, view.Key{Namespace: hpa.Namespace, Name: ref.Name})
		if e == nil {
			return target{}, apierrors.NewNotFound(info.GR(), ref.Name)
		}
		return target{info, info.Scale.Spec(e.Object), info.Scale.Status(e.Object), info.Scale.Selector(e.Object)}, nil
	}
	return target{}, &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: gv.Group, Kind: ref.Kind}}
}

// selectable returns the pods of the target, or says why they cannot be told: then
// the load of none is looked at.
func (s *sync) selectable(t target) ([]*corev1.Pod, labels.Selector, error) {
	if t.selector == "" {
		s.set(autoscalingv2.ScalingActive, false, "InvalidSelector", "the HPA target's scale is missing a selector")
		s.warn("SelectorRequired", "selector is required")
		return nil, nil, errors.New("selector is required")
	}
	selector, err := labels.Parse(t.selector)
	if err != nil {
		return nil, nil, s.badSelector("InvalidSelector", fmt.Errorf("couldn't convert selector into a corresponding internal selector object: %w", err))
	}
	var pods []*corev1.Pod
	for p := range view.List(s.v, resource.Pods, s.hpa.Namespace) {
		if selector.Matches(labels.Set(p.Labels)) {
			pods = append(pods, p)
		}
	}
	for other := range view.List(s.v, resource.HorizontalPodAutoscalers, s.hpa.Namespace) {
		if other.Name != s.hpa.Name && s.selects(other, pods) {
			return nil, nil, s.badSelector("AmbiguousSelector", fmt.Errorf("pods by selector %v are controlled by more than one HPA (e.g. [{%s %s} {%s %s}])",
				t.selector, s.hpa.Name, s.hpa.Namespace, other.Name, other.Namespace))
		}
	}
	return pods, selector, nil
}

func (s *sync) badSelector(reason string, err error) error {
	s.warn(reason, err.Error())
	s.set(autoscalingv2.ScalingActive, false, reason, err.Error())
	return err
}

// selects says that the target of hpa has one of pods.
func (s *sync) selects(hpa *autoscalingv2.HorizontalPodAutoscaler, pods []*corev1.Pod) bool {
	t, err := targetOf(s.v, s.kinds, hpa)
	if err != nil || t.selector == "" {
		return false
	}
	selector, err := labels.Parse(t.selector)
	if err != nil {
		return false
	}
	for _, p := range pods {
		if selector.Matches(labels.Set(p.Labels)) {
			return true
		}
	}
	return false
}
