package validate

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// podResources checks what a pod asks for as a whole (KEP-2837): not less than
// its containers do.
func (c *podCheck) podResources(at *field.Path) {
	r := c.spec.Resources
	if r == nil {
		return
	}
	if c.spec.OS != nil && c.spec.OS.Name == corev1.Windows {
		c.forbidden(at, "may not be set for a windows pod")
		return
	}
	if r.Claims != nil {
		c.forbidden(at.Child("claims"), "claims may not be set for Resources at pod-level")
	}
	resources(c.problems, at, r, podResourceName)
	claimNames(c.problems, at.Child("claims"), r.Claims, c.claims)
	requests := sum(c.spec, func(ctr *corev1.Container) corev1.ResourceList { return ctr.Resources.Requests })
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		total, whole := requests[name], r.Requests[name]
		if _, ok := r.Requests[name]; ok && total.Cmp(whole) > 0 {
			c.invalid(at.Child("requests").Key(string(name)), whole.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", total.String()))
		}
	}
	limits := sum(c.spec, func(ctr *corev1.Container) corev1.ResourceList { return ctr.Resources.Limits })
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		total, whole := limits[name], r.Limits[name]
		if _, ok := r.Limits[name]; ok && isHugePages(name) && total.Cmp(whole) > 0 {
			c.invalid(at.Child("limits").Key(string(name)), whole.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container limits of %s", total.String()))
		}
	}
	for i := range c.spec.Containers {
		own := c.spec.Containers[i].Resources.Limits
		for _, name := range slices.Sorted(maps.Keys(own)) {
			limit, whole := own[name], r.Limits[name]
			if _, ok := r.Limits[name]; ok && limit.Cmp(whole) > 0 {
				c.invalid(at.Child("containers").Index(i).Key(string(name)).Child("limits"), limit.String(),
					fmt.Sprintf("must be less than or equal to pod limits of %s", whole.String()))
			}
		}
	}
}

// sum adds up what containers ask for; see resource.PodRequests for the rule.
func sum(s *corev1.PodSpec, get func(*corev1.Container) corev1.ResourceList) corev1.ResourceList {
	add := func(to, more corev1.ResourceList) {
		for name, q := range more {
			total := to[name].DeepCopy()
			total.Add(q)
			to[name] = total
		}
	}
	total, sidecars, start := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	most := func(to, other corev1.ResourceList) {
		for name, q := range other {
			if have, ok := to[name]; !ok || q.Cmp(have) > 0 {
				to[name] = q
			}
		}
	}
	for i := range s.Containers {
		add(total, get(&s.Containers[i]))
	}
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		now := corev1.ResourceList{}
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(total, get(c))
			add(sidecars, get(c))
		} else {
			add(now, get(c))
		}
		add(now, sidecars)
		most(start, now)
	}
	most(total, start)
	return total
}

// PodResize checks a change of resources of a running pod (KEP-1287): CPU and
// memory only, and never the quality of service. The classes are those of the
// old and the new spec.
func PodResize(pod, old *corev1.Pod, class, oldClass corev1.PodQOSClass) field.ErrorList {
	var p problems
	if _, ok := old.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		p.forbidden(field.NewPath(""), "static pods cannot be resized")
		return p.list()
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		p.forbidden(field.NewPath(""), "windows pods cannot be resized")
		return p.list()
	}
	podObject(&p, pod)
	at := field.NewPath("spec")
	if class != oldClass {
		p.invalid(at, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing")
	}
	if !sameContainers(&p, at.Child("containers"), "containers", pod.Spec.Containers, old.Spec.Containers) ||
		!sameContainers(&p, at.Child("initContainers"), "initContainers", pod.Spec.InitContainers, old.Spec.InitContainers) {
		return p.list()
	}
	rest := pod.Spec.DeepCopy()
	podLevelResize(&p, at.Child("resources"), rest, &old.Spec)
	resizeEach(&p, at.Child("initContainers"), rest.InitContainers, old.Spec.InitContainers)
	resizeEach(&p, at.Child("containers"), rest.Containers, old.Spec.Containers)
	if len(p) == 0 && !equality.Semantic.DeepEqual(*rest, old.Spec) {
		p.forbidden(at, "only cpu and memory resources are mutable")
	}
	return p.list()
}

func sameContainers(p *problems, at *field.Path, word string, now, was []corev1.Container) bool {
	if len(now) != len(was) {
		p.forbidden(at, word+" may not be added or removed on resize")
		return false
	}
	for i := range was {
		if now[i].Name != was[i].Name {
			p.forbidden(at.Index(i).Child("name"), word+" may not be renamed or reordered on resize")
			return false
		}
	}
	return true
}

// resizeEach takes allowed changes out of now, so that what is left to differ is
// forbidden.
func resizeEach(p *problems, at *field.Path, now, was []corev1.Container) {
	for i := range now {
		path := at.Index(i).Child("resources")
		for _, list := range []struct {
			name     string
			now, was corev1.ResourceList
		}{{"requests", now[i].Resources.Requests, was[i].Resources.Requests}, {"limits", now[i].Resources.Limits, was[i].Resources.Limits}} {
			if removes(list.now, list.was) {
				p.forbidden(path.Child(list.name), fmt.Sprintf("resource %s cannot be removed", list.name))
			}
		}
		now[i].Resources.Requests = withCompute(now[i].Resources.Requests, was[i].Resources.Requests)
		now[i].Resources.Limits = withCompute(now[i].Resources.Limits, was[i].Resources.Limits)
	}
}

func podLevelResize(p *problems, at *field.Path, now, was *corev1.PodSpec) {
	if was.Resources == nil || now.Resources == nil {
		if was.Resources != nil {
			p.forbidden(at, "pod-level resources cannot be removed")
		} else if now.Resources != nil {
			now.Resources = nil
		}
		return
	}
	if removes(now.Resources.Requests, was.Resources.Requests) {
		p.forbidden(at.Child("requests"), "pod-level resource requests cannot be removed")
	}
	if removes(now.Resources.Limits, was.Resources.Limits) {
		p.forbidden(at.Child("limits"), "pod-level resource limits cannot be removed")
	}
	now.Resources.Requests = withCompute(now.Resources.Requests, was.Resources.Requests)
	now.Resources.Limits = withCompute(now.Resources.Limits, was.Resources.Limits)
}

func removes(now, was corev1.ResourceList) bool {
	for name := range was {
		if _, ok := now[name]; !ok {
			return true
		}
	}
	return false
}

// withCompute returns list with the CPU and memory of was.
func withCompute(list, was corev1.ResourceList) corev1.ResourceList {
	if list == nil && was == nil {
		return nil
	}
	out := corev1.ResourceList{}
	maps.Copy(out, list)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		delete(out, name)
		if q, ok := was[name]; ok {
			out[name] = q
		}
	}
	return out
}
