package daemonset

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// The delay before a failed pod is deleted grows with each failure on a node,
// as upstream's: an agent that refuses the pod would otherwise be asked at full
// speed. A pod that has lived for longer than calm does not count as a failure
// of the one before it.
const (
	firstDelay = time.Second
	lastDelay  = 15 * time.Minute
	calm       = 2 * lastDelay
)

// failuresAnnotation of a pod counts how many before it have failed on its node.
// Upstream remembers it in memory.
const failuresAnnotation = "daemonset.skiff.sh/failures"

// The label of a template's number, which was before there were revisions.
const generationLabel = "pod-template-generation"

// manage finds what is missing and what is too much on each node.
func (s *set) manage() {
	known := map[string]bool{}
	for _, n := range s.nodes {
		known[n.Name] = true
		run, stay := s.placement.on(n)
		pods, some := s.pods[n.Name]
		switch {
		case run && !some:
			s.create = append(s.create, n.Name)
		case stay:
			s.prune(n.Name, run)
		default:
			s.removeAlive(pods)
		}
	}
	for _, name := range s.sortedNodes() {
		for _, p := range s.pods[name] {
			if !known[name] && p.Spec.NodeName == "" {
				s.remove = append(s.remove, p) // nobody else would
			}
		}
	}
}

func (s *set) removeAlive(pods []*corev1.Pod) {
	for _, p := range pods {
		if p.DeletionTimestamp == nil {
			s.remove = append(s.remove, p)
		}
	}
}

// prune removes pods that are over and those that are too many on a node, and
// replaces what has failed.
func (s *set) prune(node string, run bool) {
	alive, stopping, waiting := s.removeOver(node)
	surges := s.surge(1) > 0
	switch {
	case len(alive) == 0:
		// With a surge another one may still be on its way out. What replaces a
		// failed pod is made in the plan that removes it, to carry the count on.
		if run && !waiting && (surges || !stopping && s.failed[node] > 0) {
			s.create = append(s.create, node)
		}
	case len(alive) == 1:
	case surges:
		s.pruneSurge(alive)
	default:
		s.remove = append(s.remove, alive[1:]...)
	}
}

// removeOver removes a node's pods that have failed or succeeded. The others are
// alive, or stopping; waiting tells of a failed one that may not go yet.
func (s *set) removeOver(node string) (alive []*corev1.Pod, stopping, waiting bool) {
	for _, p := range s.pods[node] {
		over := fmt.Sprintf("daemon pod %s/%s on node %s, will try to", p.Namespace, p.Name, node)
		switch {
		case p.DeletionTimestamp != nil:
			stopping = true
		case p.Status.Phase == corev1.PodFailed:
			count, wait := s.failures(p)
			if wait > 0 {
				s.wake(wait)
				waiting = true
				continue
			}
			s.failed[node] = count + 1
			s.note(true, "FailedDaemonPod", "Found failed "+over+" kill it", 0)
			s.remove = append(s.remove, p)
		case p.Status.Phase == corev1.PodSucceeded:
			s.note(false, "SucceededDaemonPod", "Found succeeded "+over+" delete it", 0)
			s.remove = append(s.remove, p)
		default:
			alive = append(alive, p)
		}
	}
	return alive, stopping, waiting
}

// failures is how many pods of this template have failed on the node in a row
// before p, and how long p must wait for its deletion.
func (s *set) failures(p *corev1.Pod) (count int, wait time.Duration) {
	age := s.now.Sub(p.CreationTimestamp.Time)
	count, err := strconv.Atoi(p.Annotations[failuresAnnotation])
	if err != nil || count <= 0 || age > calm || p.Labels[appsv1.ControllerRevisionHashLabelKey] != s.history.hash {
		return 0, 0
	}
	delay := lastDelay
	if count < 11 { // a second << 10 is above the last delay
		delay = min(lastDelay, firstDelay<<(count-1))
	}
	return count, max(0, delay-age)
}

// pruneSurge keeps at most two pods of a node, an old and a new one: the old
// one is there for as long as it is ready and the new one is not available.
func (s *set) pruneSurge(alive []*corev1.Pod) {
	var newest, old *corev1.Pod
	for _, p := range alive {
		switch current := p.Labels[appsv1.ControllerRevisionHashLabelKey] == s.history.hash; {
		case current && newest == nil:
			newest = p
		case !current && old == nil:
			old = p
		default:
			s.remove = append(s.remove, p)
		}
	}
	if newest != nil && old != nil && (!resource.PodReady(old) || s.available(newest)) {
		s.remove = append(s.remove, old)
	}
}

// oldestFirst sorts pods by age, those without a node last.
func oldestFirst(pods []*corev1.Pod) {
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		if placedA, placedB := a.Spec.NodeName != "", b.Spec.NodeName != ""; placedA != placedB {
			if placedA {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
}

// newPod is the pod of the current template for a node.
func (s *set) newPod(node string) *corev1.Pod {
	p := pod.FromTemplate(&s.ds.Spec.Template, s.ds, resource.DaemonSets.Info, s.rnd)
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	if n, ok := s.generation(); ok {
		p.Labels[generationLabel] = n
	}
	p.Labels[appsv1.ControllerRevisionHashLabelKey] = s.history.hash
	p.Spec.Tolerations = tolerations(&p.Spec)
	bind(&p.Spec, node)
	if n := s.failed[node]; n > 0 {
		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}
		p.Annotations[failuresAnnotation] = strconv.Itoa(n)
	}
	return p
}

// generation is the template's number, which the API counts in an annotation.
func (s *set) generation() (string, bool) {
	n, err := strconv.ParseInt(s.ds.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	return strconv.FormatInt(n, 10), err == nil
}

// updated says that a pod is of the current template.
func (s *set) updated(p *corev1.Pod) bool {
	n, ok := s.generation()
	return ok && p.Labels[generationLabel] == n || p.Labels[appsv1.ControllerRevisionHashLabelKey] == s.history.hash
}

// surge is how many nodes of n may have a second pod.
func (s *set) surge(n int) int {
	return s.share(n, func(r *appsv1.RollingUpdateDaemonSet) *intstr.IntOrString { return r.MaxSurge })
}

// unavailable is how many nodes of n may be without an available pod.
func (s *set) unavailable(n int) int {
	return s.share(n, func(r *appsv1.RollingUpdateDaemonSet) *intstr.IntOrString { return r.MaxUnavailable })
}

func (s *set) share(n int, of func(*appsv1.RollingUpdateDaemonSet) *intstr.IntOrString) int {
	u := s.ds.Spec.UpdateStrategy
	if u.Type != appsv1.RollingUpdateDaemonSetStrategyType || u.RollingUpdate == nil || of(u.RollingUpdate) == nil {
		return 0
	}
	count, err := intstr.GetScaledValueFromIntOrPercent(of(u.RollingUpdate), n, true)
	if err != nil {
		return 0 // validation allows none such
	}
	return count
}

// runsOn says that a pod shall run on the node of that name.
func (s *set) runsOn(name string) bool {
	n, ok := view.Get(s.v, resource.Nodes, "", name)
	if !ok {
		return false
	}
	run, _ := s.placement.on(n)
	return run
}
