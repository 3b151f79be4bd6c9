package snapshot

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/view"
)

// Pod is a pod with what scheduling wants to know of it, computed once.
type Pod struct {
	Object   *corev1.Pod
	Key      view.Key
	Priority int32
	Requests Resources
	Scored   Resources // Requests, with assumed values where containers name none
	Rated    Resources // the same as nodes are rated with for the pod
	Ports    []Port    // host ports wanted
	Social   *Social   // nil where it cares for no other pods
	Claims   []Claim
}

// Social is how a pod wants to be placed to others.
type Social struct {
	Near, Away             []Term // required
	PreferNear, PreferAway []Term

	mentions map[string]bool // label keys in the selectors
}

// Mentions tells whether a term asks for that label of others.
func (s *Social) Mentions(key string) bool { return s != nil && s.mentions[key] }

// Claim is a persistent volume claim that a pod uses.
type Claim struct {
	Name      string
	Ephemeral bool // made for the pod from its own spec
}

// NewPod computes what scheduling wants to know of pod.
func NewPod(pod *corev1.Pod) *Pod {
	p := &Pod{Object: pod, Key: view.KeyOf(pod), Ports: ports(pod), Social: newSocial(pod), Claims: claims(pod)}
	if pod.Spec.Priority != nil {
		p.Priority = *pod.Spec.Priority
	}
	p.Requests, p.Scored, p.Rated = requests(pod)
	return p
}

// sameAs tells whether obj is a later state of the same pod in which nothing
// that counts for others is different.
func (p *Pod) sameAs(obj *corev1.Pod) bool {
	old := p.Object
	if old.UID != obj.UID || (old.DeletionTimestamp == nil) != (obj.DeletionTimestamp == nil) || !maps.Equal(old.Labels, obj.Labels) {
		return false
	}
	if len(obj.Status.ContainerStatuses) == 0 && len(old.Status.ContainerStatuses) == 0 && old.Generation == obj.Generation {
		return true
	}
	now, _, _ := requests(obj)
	return now.equal(&p.Requests) && len(old.Spec.Volumes) == len(obj.Spec.Volumes)
}

func newSocial(pod *corev1.Pod) *Social {
	a := pod.Spec.Affinity
	if a == nil || a.PodAffinity == nil && a.PodAntiAffinity == nil {
		return nil
	}
	s := &Social{mentions: map[string]bool{}}
	if near := a.PodAffinity; near != nil {
		s.Near = s.terms(pod, near.RequiredDuringSchedulingIgnoredDuringExecution)
		s.PreferNear = s.weighted(pod, near.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if away := a.PodAntiAffinity; away != nil {
		s.Away = s.terms(pod, away.RequiredDuringSchedulingIgnoredDuringExecution)
		s.PreferAway = s.weighted(pod, away.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return s
}

func (s *Social) terms(pod *corev1.Pod, terms []corev1.PodAffinityTerm) []Term {
	if len(terms) == 0 {
		return nil
	}
	parsed := make([]Term, len(terms))
	for i := range terms {
		parsed[i] = NewTerm(pod, &terms[i])
		s.mention(&parsed[i])
	}
	return parsed
}

func (s *Social) weighted(pod *corev1.Pod, terms []corev1.WeightedPodAffinityTerm) []Term {
	if len(terms) == 0 {
		return nil
	}
	parsed := make([]Term, len(terms))
	for i := range terms {
		parsed[i] = NewTerm(pod, &terms[i].PodAffinityTerm)
		parsed[i].Weight = int64(terms[i].Weight)
		s.mention(&parsed[i])
	}
	return parsed
}

func (s *Social) mention(t *Term) {
	requirements, _ := t.selector.Requirements()
	for i := range requirements {
		s.mentions[requirements[i].Key()] = true
	}
}

func claims(pod *corev1.Pod) (found []Claim) {
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			found = append(found, Claim{Name: v.PersistentVolumeClaim.ClaimName})
		case v.Ephemeral != nil:
			found = append(found, Claim{Name: pod.Name + "-" + v.Name, Ephemeral: true})
		}
	}
	return found
}

func ports(pod *corev1.Pod) []Port {
	var found []Port
	add := func(containers []corev1.Container, all bool) {
		for i := range containers {
			c := &containers[i]
			if !all && (c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways) {
				continue
			}
			for _, p := range c.Ports {
				if p.HostPort > 0 {
					found = append(found, newPort(p))
				}
			}
		}
	}
	add(pod.Spec.Containers, true)
	add(pod.Spec.InitContainers, false) // only sidecars run beside the others
	return found
}

func newPort(p corev1.ContainerPort) Port {
	port := Port{IP: p.HostIP, Protocol: p.Protocol, Number: p.HostPort}
	if port.IP == "0.0.0.0" {
		port.IP = ""
	}
	if port.Protocol == "" {
		port.Protocol = corev1.ProtocolTCP
	}
	return port
}
