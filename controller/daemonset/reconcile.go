// Package daemonset runs one pod of each DaemonSet on every node that fits it.
package daemonset

import (
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// burst is the most pods that one plan creates, and deletes, as upstream's.
const burst = 250

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "daemon-set", EventSource: "daemonset-controller",
		For: resource.DaemonSets.Info,
		Reads: []controller.Input{
			{Kind: resource.Nodes.Info, Keys: keysOfNode},
			{Kind: resource.Pods.Info, Keys: controller.KeysOfOwned(resource.DaemonSets, selectorOf)},
			{Kind: resource.ControllerRevisions.Info, Keys: controller.KeysOfOwned(resource.DaemonSets, selectorOf)},
		},
		Writes: []controller.Output{
			{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Create, resource.Delete, resource.Patch}},
			{Kind: resource.ControllerRevisions.Info, Verbs: []resource.Verb{resource.Create, resource.Delete, resource.Patch}},
			{Kind: resource.DaemonSets.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcile,
	}
}

// keysOfNode names the DaemonSets that want something else of a node than what
// is there. A node's heartbeat concerns none.
func keysOfNode(v *view.View, obj resource.Object) (keys []view.Key) {
	node := obj.(*corev1.Node)
	has := map[view.Key]bool{}
	for p := range view.By(v, resource.Pods, resource.PodNodeIndex, node.Name) {
		if ref := metav1.GetControllerOfNoCopy(p); ref != nil && ref.Kind == resource.DaemonSets.Kind.Kind {
			has[view.Key{Namespace: p.Namespace, Name: ref.Name}] = true
		}
	}
	for ds := range view.List(v, resource.DaemonSets, "") {
		key := view.KeyOf(ds)
		run, _ := newPlacement(ds).on(node)
		if run != has[key] || has[key] && ds.Status.NumberMisscheduled > 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

func selectorOf(ds *appsv1.DaemonSet) (labels.Selector, error) {
	return metav1.LabelSelectorAsSelector(ds.Spec.Selector)
}

func reconcile(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
	ds, ok := view.Get(v, resource.DaemonSets, key.Namespace, key.Name)
	if !ok {
		return controller.Plan{}
	}
	selector, err := selectorOf(ds)
	if err != nil {
		return controller.Plan{Err: fmt.Errorf("parse selector of DaemonSet %s: %w", key, err)}
	}
	if ds.Spec.Selector != nil && selector.Empty() {
		s := set{ds: ds}
		s.note(true, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.", 0)
		return s.plan
	}
	if ds.DeletionTimestamp != nil {
		// The garbage collector takes its pods and revisions away, in any order.
		return controller.Plan{}
	}
	s := newSet(v, ds, selector, now, rnd)
	s.manage()
	if len(s.create)+len(s.remove) == 0 && ds.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		s.roll()
	}
	return s.finish()
}

// set is the work on one DaemonSet: what is, and what shall be.
type set struct {
	v   *view.View
	ds  *appsv1.DaemonSet
	now time.Time
	rnd *rand.Rand

	placement placement
	nodes     []*corev1.Node           // by name
	all       []*corev1.Pod            // that are its own
	pods      map[string][]*corev1.Pod // by the node they are for, without those that are over and being deleted
	history   revisions

	create []string      // nodes that shall get a pod
	remove []*corev1.Pod // that shall go
	failed map[string]int

	status appsv1.DaemonSetStatus // to be
	plan   controller.Plan
}

func newSet(v *view.View, ds *appsv1.DaemonSet, selector labels.Selector, now time.Time, rnd *rand.Rand) *set {
	s := &set{
		v: v, ds: ds, now: now, rnd: rnd, placement: newPlacement(ds),
		pods: map[string][]*corev1.Pod{}, failed: map[string]int{}, status: *ds.Status.DeepCopy(),
	}
	for n := range view.List(v, resource.Nodes, "") {
		s.nodes = append(s.nodes, n)
	}
	matches := func(p *corev1.Pod) bool { return selector.Matches(labels.Set(p.Labels)) }
	s.all, s.plan.Do = pod.Claim(v, ds, resource.DaemonSets.Info, matches, matches)
	for _, p := range s.all {
		if resource.PodTerminal(p) && p.DeletionTimestamp != nil {
			continue // over: the node agent and the pod garbage collector see to it
		}
		if node, ok := target(p); ok {
			s.pods[node] = append(s.pods[node], p)
		}
	}
	for _, pods := range s.pods {
		oldestFirst(pods)
	}
	s.record(selector)
	return s
}

// finish makes the plan: pods go and come, old revisions go, the status follows.
func (s *set) finish() controller.Plan {
	before := len(s.plan.Do)
	for _, p := range s.remove[:min(len(s.remove), burst)] {
		s.plan.Do = append(s.plan.Do, client.Delete(resource.Pods, p))
		s.note(false, "SuccessfulDelete", "Deleted pod: "+p.Name, len(s.plan.Do))
	}
	for _, node := range s.create[:min(len(s.create), burst)] {
		p := s.newPod(node)
		s.plan.Do = append(s.plan.Do, client.Create(resource.Pods, p))
		s.note(false, "SuccessfulCreate", "Created pod: "+p.Name, len(s.plan.Do))
	}
	changing := len(s.plan.Do) > before
	s.forget()
	s.plan.Failed = s.trouble
	s.count()
	if !changing || s.ds.Status.ObservedGeneration != s.ds.Generation {
		// Else the status would be old news: the call that the change of its pods
		// in the view brings writes it.
		s.plan.Do = append(s.plan.Do, s.writeStatus()...)
	}
	return s.plan
}

// trouble tells of a pod that cannot be made or removed.
func (s *set) trouble(op client.Op, err error) controller.Plan {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return controller.Plan{}
	}
	next := set{ds: s.ds, status: s.status}
	switch {
	case op.Kind != resource.Pods.Info:
	case op.Verb == resource.Create:
		next.note(true, "FailedCreate", "Error creating: "+err.Error(), 0)
	case op.Verb == resource.Delete:
		next.note(true, "FailedDelete", "Error deleting: "+err.Error(), 0)
	}
	next.plan.Do = next.writeStatus()
	next.plan.Err = fmt.Errorf("%s: %w", op, err)
	return next.plan
}

func (s *set) note(warning bool, reason, message string, after int) {
	s.plan.Events = append(s.plan.Events, controller.Note{After: after, Note: event.Note{
		About: s.ds, Kind: resource.DaemonSets.Info, Warning: warning, Reason: reason, Message: message,
	}})
}

// available says that a pod is ready for long enough, and asks for a call when
// it will be.
func (s *set) available(p *corev1.Pod) bool {
	ok, wait := pod.Available(p, time.Duration(s.ds.Spec.MinReadySeconds)*time.Second, s.now)
	if !ok {
		s.wake(wait)
	}
	return ok
}

// wake asks for a call after d, if that is above 0.
func (s *set) wake(d time.Duration) {
	if d > 0 && (s.plan.Again == 0 || d < s.plan.Again) {
		s.plan.Again = d
	}
}
