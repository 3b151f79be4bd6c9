package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// limitRangerAnnotation tells on a pod what was set for it.
const limitRangerAnnotation = "kubernetes.io/limit-ranger"

// limitRanger gives containers the default requests and limits of their
// namespace, and holds pods and claims to its least, most and ratio.
func limitRanger() Step {
	return Step{
		Name: "LimitRanger",
		On: []Match{
			{Operations: creates, Resource: pods, Subresources: itself},
			{Operations: updates, Resource: pods, Subresources: []string{"resize"}},
			{Operations: writes, Resource: claims, Subresources: itself},
		},
		Mutate: pure(func(v *view.View, a *Attributes) error {
			return eachLimitRange(v, a, func(l *corev1.LimitRange) error {
				if pod, ok := a.Object.(*corev1.Pod); ok {
					setContainerDefaults(pod, l)
				}
				return nil
			})
		}),
		Validate: pure(func(v *view.View, a *Attributes) error {
			return eachLimitRange(v, a, func(l *corev1.LimitRange) error {
				var c limits
				switch obj := a.Object.(type) {
				case *corev1.Pod:
					c.pod(l, obj)
				case *corev1.PersistentVolumeClaim:
					c.claim(l, obj)
				}
				return utilerrors.NewAggregate(c.problems)
			})
		}),
	}
}

func eachLimitRange(v *view.View, a *Attributes, f func(*corev1.LimitRange) error) error {
	if old := a.old(); old != nil && old.GetDeletionTimestamp() != nil {
		return nil
	}
	for l := range view.List(v, resource.LimitRanges, a.Namespace) {
		if err := f(l); err != nil {
			return a.Forbidden(err)
		}
	}
	return nil
}

// setContainerDefaults fills in what containers do not say, and notes it.
func setContainerDefaults(pod *corev1.Pod, l *corev1.LimitRange) {
	requests, most := corev1.ResourceList{}, corev1.ResourceList{}
	for _, item := range l.Spec.Limits {
		if item.Type == corev1.LimitTypeContainer {
			maps.Copy(requests, item.DefaultRequest)
			maps.Copy(most, item.Default)
		}
	}
	var notes []string
	for i := range pod.Spec.Containers {
		notes = append(notes, fillIn(&pod.Spec.Containers[i], "container", requests, most)...)
	}
	for i := range pod.Spec.InitContainers {
		notes = append(notes, fillIn(&pod.Spec.InitContainers[i], "init container", requests, most)...)
	}
	if len(notes) > 0 {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[limitRangerAnnotation] = "LimitRanger plugin set: " + strings.Join(notes, "; ")
	}
}

func fillIn(c *corev1.Container, what string, requests, most corev1.ResourceList) []string {
	var notes []string
	for _, part := range []struct {
		word     string
		to       *corev1.ResourceList
		defaults corev1.ResourceList
	}{{"request", &c.Resources.Requests, requests}, {"limit", &c.Resources.Limits, most}} {
		if *part.to == nil {
			*part.to = corev1.ResourceList{}
		}
		var set []string
		for _, name := range slices.Sorted(maps.Keys(part.defaults)) {
			if _, ok := (*part.to)[name]; !ok {
				(*part.to)[name] = part.defaults[name].DeepCopy()
				set = append(set, string(name))
			}
		}
		if len(set) > 0 {
			notes = append(notes, fmt.Sprintf("%s %s for %s %s", strings.Join(set, ", "), part.word, what, c.Name))
		}
	}
	return notes
}

// limits collects in which ways an object breaks a limit range.
type limits struct{ problems []error }

func (c *limits) pod(l *corev1.LimitRange, pod *corev1.Pod) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
				for j := range containers {
					c.item(item, containers[j].Resources.Requests, containers[j].Resources.Limits)
				}
			}
		case corev1.LimitTypePod:
			whole := corev1.PodSpec{Containers: pod.Spec.Containers, InitContainers: pod.Spec.InitContainers, Resources: pod.Spec.Resources}
			c.item(item, resource.PodRequests(&whole), resource.PodLimits(&whole))
		}
	}
}

// claim checks requests only: claims have no limits.
func (c *limits) claim(l *corev1.LimitRange, claim *corev1.PersistentVolumeClaim) {
	requests := claim.Spec.Resources.Requests
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		if item.Type != corev1.LimitTypePersistentVolumeClaim {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(item.Min)) {
			c.least(item.Type, name, item.Min[name], requests, nil)
		}
		for _, name := range slices.Sorted(maps.Keys(item.Max)) {
			most, asked := item.Max[name], requests[name]
			_, ok := requests[name]
			low, high := inSameUnit(asked, most)
			switch {
			case !ok:
				c.add("maximum %s usage per %s is %s.  No request is specified", name, item.Type, most.String())
			case low > high:
				c.add("maximum %s usage per %s is %s, but request is %s", name, item.Type, most.String(), asked.String())
			}
		}
	}
}

func (c *limits) item(item *corev1.LimitRangeItem, requests, most corev1.ResourceList) {
	for _, name := range slices.Sorted(maps.Keys(item.Min)) {
		c.least(item.Type, name, item.Min[name], requests, most)
	}
	for _, name := range slices.Sorted(maps.Keys(item.Max)) {
		c.most(item.Type, name, item.Max[name], requests, most)
	}
	for _, name := range slices.Sorted(maps.Keys(item.MaxLimitRequestRatio)) {
		c.ratio(item.Type, name, item.MaxLimitRequestRatio[name], requests, most)
	}
}

func (c *limits) add(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf(format, args...))
}

func (c *limits) least(of corev1.LimitType, name corev1.ResourceName, least apiresource.Quantity, requests, most corev1.ResourceList) {
	request, asked := requests[name]
	limit, limited := most[name]
	switch {
	case !asked:
		c.add("minimum %s usage per %s is %s.  No request is specified", name, of, least.String())
	case below(request, least):
		c.add("minimum %s usage per %s is %s, but request is %s", name, of, least.String(), request.String())
	case limited && below(limit, least):
		c.add("minimum %s usage per %s is %s, but limit is %s", name, of, least.String(), limit.String())
	}
}

func (c *limits) most(of corev1.LimitType, name corev1.ResourceName, most apiresource.Quantity, requests, limited corev1.ResourceList) {
	request, asked := requests[name]
	limit, ok := limited[name]
	switch {
	case !ok:
		c.add("maximum %s usage per %s is %s.  No limit is specified", name, of, most.String())
	case below(most, limit):
		c.add("maximum %s usage per %s is %s, but limit is %s", name, of, most.String(), limit.String())
	case asked && below(most, request):
		c.add("maximum %s usage per %s is %s, but request is %s", name, of, most.String(), request.String())
	}
}

func (c *limits) ratio(of corev1.LimitType, name corev1.ResourceName, most apiresource.Quantity, requests, limited corev1.ResourceList) {
	request, asked := requests[name]
	limit, ok := limited[name]
	r, l := inSameUnit(request, limit)
	switch {
	case !asked || r == 0:
		c.add("%s max limit to request ratio per %s is %s, but no request is specified or request is 0", name, of, most.String())
	case !ok || l == 0:
		c.add("%s max limit to request ratio per %s is %s, but no limit is specified or limit is 0", name, of, most.String())
	default:
		if ratio := float64(l) / float64(r); ratio > most.AsApproximateFloat64() {
			c.add("%s max limit to request ratio per %s is %s, but provided ratio is %f", name, of, most.String(), ratio)
		}
	}
}

func below(a, b apiresource.Quantity) bool {
	x, y := inSameUnit(a, b)
	return x < y
}

// inSameUnit returns both in thousandths, or whole where that would overflow.
func inSameUnit(a, b apiresource.Quantity) (int64, int64) {
	if a.Value() <= apiresource.MaxMilliValue && b.Value() <= apiresource.MaxMilliValue {
		return a.MilliValue(), b.MilliValue()
	}
	return a.Value(), b.Value()
}
