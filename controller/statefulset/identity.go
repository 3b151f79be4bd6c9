package statefulset

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
)

// split returns what the name of a pod says: its set and its ordinal, which is
// -1 where it says none.
func split(name string) (set string, ordinal int) {
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return "", -1
	}
	n, err := strconv.ParseUint(name[dash+1:], 10, 31)
	if err != nil {
		return "", -1
	}
	return name[:dash], int(n)
}

// named says that a pod has the name of one of the set's.
func (s *set) named(p *corev1.Pod) bool {
	name, _ := split(p.Name)
	return name == s.ss.Name
}

func ordinal(p *corev1.Pod) int {
	_, n := split(p.Name)
	return n
}

func (s *set) start() int {
	if s.ss.Spec.Ordinals != nil {
		return int(s.ss.Spec.Ordinals.Start)
	}
	return 0
}

// size is the number of pods that are asked for; the API's default is 1.
func (s *set) size() int { return int(ptr.Deref(s.ss.Spec.Replicas, 1)) }

// inRange says that a pod's ordinal is one of those asked for.
func (s *set) inRange(p *corev1.Pod) bool {
	n := ordinal(p) - s.start()
	return n >= 0 && n < s.size()
}

// sort tells the replicas, which shall be there, from the condemned. Those that
// are missing are made up, to be created.
func (s *set) sort() {
	s.replicas = make([]replica, s.size())
	for _, p := range s.pods {
		if s.inRange(p) {
			s.replicas[ordinal(p)-s.start()] = replica{p, true}
		} else {
			s.condemned = append(s.condemned, p)
		}
	}
	slices.SortFunc(s.condemned, func(a, b *corev1.Pod) int { return cmp.Compare(ordinal(b), ordinal(a)) })
	for i := range s.replicas {
		if s.replicas[i].Pod == nil {
			s.replicas[i].Pod = s.newPod(s.start() + i)
		}
		s.unhealthy = s.first(s.unhealthy, s.replicas[i].Pod)
	}
	for _, p := range slices.Backward(s.condemned) {
		s.unhealthy = s.first(s.unhealthy, p)
	}
}

func (s *set) first(found, p *corev1.Pod) *corev1.Pod {
	if found == nil && s.unavailable(p) {
		return p
	}
	return found
}

// newPod is the pod of an ordinal: of the current revision below what is being
// rolled out, of the new one from there.
func (s *set) newPod(n int) *corev1.Pod {
	of := s.update
	if u := s.ss.Spec.UpdateStrategy; u.Type == appsv1.RollingUpdateStatefulSetStrategyType || u.RollingUpdate != nil {
		kept := int(s.ss.Status.CurrentReplicas)
		if u.RollingUpdate != nil {
			kept = s.partition()
		}
		if n < s.start()+kept {
			of = s.current
		}
	}
	p := pod.Named(s.ss.Name+"-"+strconv.Itoa(n), of.template, s.ss, resource.StatefulSets.Info)
	identify(p)
	p.Labels[appsv1.StatefulSetRevisionLabel] = of.name
	p.Spec.Hostname, p.Spec.Subdomain = p.Name, s.ss.Spec.ServiceName
	p.Spec.Volumes = s.volumes(p)
	return p
}

// identify puts the labels on a pod that say which one it is.
func identify(p *corev1.Pod) {
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels[appsv1.StatefulSetPodNameLabel] = p.Name
	p.Labels[appsv1.PodIndexLabel] = strconv.Itoa(ordinal(p))
}

// identified says that a pod has the label with its name.
func identified(p *corev1.Pod) bool { return p.Labels[appsv1.StatefulSetPodNameLabel] == p.Name }

// volumes are those of a pod's claims, and the others that it has.
func (s *set) volumes(p *corev1.Pod) []corev1.Volume {
	claimed := map[string]bool{}
	var list []corev1.Volume
	for i := range s.ss.Spec.VolumeClaimTemplates {
		t := &s.ss.Spec.VolumeClaimTemplates[i]
		claimed[t.Name] = true
		list = append(list, corev1.Volume{Name: t.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: s.claimName(t, p)},
		}})
	}
	for _, volume := range p.Spec.Volumes {
		if !claimed[volume.Name] {
			list = append(list, volume)
		}
	}
	return list
}

// stored says that a pod has the volumes of its claims.
func (s *set) stored(p *corev1.Pod) bool {
	of := map[string]string{}
	for _, volume := range p.Spec.Volumes {
		if c := volume.PersistentVolumeClaim; c != nil {
			of[volume.Name] = c.ClaimName
		}
	}
	for i := range s.ss.Spec.VolumeClaimTemplates {
		t := &s.ss.Spec.VolumeClaimTemplates[i]
		if of[t.Name] != s.claimName(t, p) {
			return false
		}
	}
	return true
}

// claimName is the name of a pod's claim made of a template.
func (s *set) claimName(t *corev1.PersistentVolumeClaim, p *corev1.Pod) string {
	return t.Name + "-" + s.ss.Name + "-" + strconv.Itoa(ordinal(p))
}

// newClaim is a pod's claim made of a template.
func (s *set) newClaim(t *corev1.PersistentVolumeClaim, p *corev1.Pod) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: *t.ObjectMeta.DeepCopy(), Spec: *t.Spec.DeepCopy()}
	c.Name, c.Namespace = s.claimName(t, p), s.ss.Namespace
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	maps.Copy(c.Labels, s.ss.Spec.Selector.MatchLabels)
	return c
}
