package resource

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ports warns of ports of a pod that are the same in one way or another.
func (w *warnings) ports() {
	type seenPort struct {
		port corev1.ContainerPort
		at   *field.Path
	}
	ports := map[string][]seenPort{}
	w.each(func(c *corev1.Container, at *field.Path) {
		for i, p := range c.Ports {
			path := at.Child("ports").Index(i)
			if p.HostIP != "" && p.HostPort == 0 {
				w.add("%s: hostIP set without hostPort: %+v", path, p)
			}
			key := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
			for _, other := range ports[key] {
				o := other.port
				switch {
				case p.HostIP == o.HostIP && p.HostPort == o.HostPort:
					w.add("%s: duplicate port definition with %s", path, other.at)
				case p.HostPort == 0 || o.HostPort == 0:
					w.add("%s: overlapping port definition with %s", path, other.at)
				case p.HostPort == o.HostPort && (p.HostIP == "") != (o.HostIP == ""):
					w.add("%s: dangerously ambiguous port definition with %s", path, other.at)
				}
			}
			ports[key] = append(ports[key], seenPort{p, path})
		}
	})
	names := map[string]*field.Path{}
	w.each(func(c *corev1.Container, at *field.Path) {
		for i, p := range c.Ports {
			path := at.Child("ports").Index(i)
			if other := names[p.Name]; p.Name != "" && other != nil {
				w.add("%s: duplicate port name %q with %s, services and probes that select ports by name will use %s", path, p.Name, other, other)
			} else if p.Name != "" {
				names[p.Name] = path
			}
		}
	})
}

// selectors warns of affinity to no pod at all.
func (w *warnings) selectors() {
	if g := w.spec.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		w.add("%s: must be >= 0; negative values are invalid and will be treated as 1", w.at.Child("terminationGracePeriodSeconds"))
	}
	if w.spec.Affinity == nil {
		return
	}
	warn := func(at *field.Path, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i, t := range required {
			if t.LabelSelector == nil {
				w.add("%s: a null labelSelector results in matching no pod", at.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i).Child("labelSelector"))
			}
		}
		for i, t := range preferred {
			if t.PodAffinityTerm.LabelSelector == nil {
				w.add("%s: a null labelSelector results in matching no pod",
					at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm", "labelSelector"))
			}
		}
	}
	if a := w.spec.Affinity.PodAffinity; a != nil {
		warn(w.at.Child("affinity", "podAffinity"), a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := w.spec.Affinity.PodAntiAffinity; a != nil {
		warn(w.at.Child("affinity", "podAntiAffinity"), a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}
