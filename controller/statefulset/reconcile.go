// Package statefulset keeps the pods of each StatefulSet: each with a name, a
// place in the order and claims of its own, which its successor inherits.
package statefulset

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

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "statefulset",
		For:  resource.StatefulSets.Info,
		Reads: []controller.Input{
			{Kind: resource.Pods.Info, Keys: controller.KeysOfOwned(resource.StatefulSets, selectorOf)},
			{Kind: resource.ControllerRevisions.Info, Keys: controller.KeysOfOwned(resource.StatefulSets, selectorOf)},
			{Kind: resource.PersistentVolumeClaims.Info, Keys: keysOfClaim},
		},
		Writes: []controller.Output{
			{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Create, resource.Delete, resource.Update, resource.Patch}},
			{Kind: resource.PersistentVolumeClaims.Info, Verbs: []resource.Verb{resource.Create, resource.Update}},
			{Kind: resource.ControllerRevisions.Info, Verbs: []resource.Verb{resource.Create, resource.Delete, resource.Patch}},
			{Kind: resource.StatefulSets.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcile,
	}
}

func selectorOf(ss *appsv1.StatefulSet) (labels.Selector, error) {
	return metav1.LabelSelectorAsSelector(ss.Spec.Selector)
}

func reconcile(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	ss, ok := view.Get(v, resource.StatefulSets, key.Namespace, key.Name)
	if !ok {
		return controller.Plan{}
	}
	selector, err := selectorOf(ss)
	if err != nil {
		return controller.Plan{Err: fmt.Errorf("parse selector of StatefulSet %s: %w", key, err)}
	}
	s := &set{v: v, ss: ss, now: now, status: *ss.Status.DeepCopy(), podOf: map[string]string{}}
	matches := func(p *corev1.Pod) bool { return s.named(p) && selector.Matches(labels.Set(p.Labels)) }
	s.pods, s.plan.Do = pod.Claim(v, ss, resource.StatefulSets.Info, matches, matches)
	if err := s.record(selector); err != nil {
		return controller.Plan{Err: err}
	}
	s.sort()
	s.count()
	if ss.DeletionTimestamp != nil {
		// The garbage collector takes its pods and revisions away, in any order;
		// a new one would only be more of them.
		s.plan.Do = s.writeStatus()
		return s.plan
	}
	if s.scale() && ss.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		s.roll()
	}
	return s.finish()
}

// set is the work on one StatefulSet: what is, and what shall be.
type set struct {
	v   *view.View
	ss  *appsv1.StatefulSet
	now time.Time

	pods            []*corev1.Pod                // that are its own
	history         []*appsv1.ControllerRevision // oldest first
	current, update revision
	replicas        []replica     // by ordinal from the start
	condemned       []*corev1.Pod // beyond the range of ordinals, the highest first
	unhealthy       *corev1.Pod   // the first that is not available; nil if all are

	status appsv1.StatefulSetStatus // to be
	plan   controller.Plan
	podOf  map[string]string // names of claims to be written: which pod is it for?
}

// replica is a pod that is there or shall be.
type replica struct {
	*corev1.Pod
	exists bool
}

// finish makes the plan complete: the status and the history follow the pods.
func (s *set) finish() controller.Plan {
	s.complete()
	s.plan.Do = append(s.plan.Do, s.writeStatus()...)
	s.forget()
	s.plan.Failed = s.trouble
	return s.plan
}

// trouble tells of a pod or claim that cannot be made, changed or removed, in
// upstream's words.
func (s *set) trouble(op client.Op, err error) controller.Plan {
	next := set{ss: s.ss, status: s.status}
	next.plan.Err = fmt.Errorf("%s: %w", op, err)
	verb := map[resource.Verb]string{resource.Create: "Create", resource.Update: "Update", resource.Delete: "Delete"}[op.Verb]
	switch {
	case verb == "", apierrors.IsConflict(err): // a conflict is no trouble: the next call sees what is new
	case op.Kind == resource.Pods.Info:
		next.podTrouble(verb, op.Name, err)
	case op.Kind == resource.PersistentVolumeClaims.Info && op.Verb == resource.Create:
		next.note(true, "FailedCreate", fmt.Sprintf("Create Claim %s for Pod %s in StatefulSet %s failed error: %s", op.Name, s.podOf[op.Name], s.ss.Name, err), 0)
		next.podTrouble(verb, s.podOf[op.Name], fmt.Errorf("failed to create PVC %s: %w", op.Name, err))
	case op.Kind == resource.PersistentVolumeClaims.Info:
		next.podTrouble(verb, s.podOf[op.Name], fmt.Errorf("could not update claim %s for delete policy ownerRefs: %w", op.Name, err))
	}
	next.plan.Do = next.writeStatus()
	return next.plan
}

func (s *set) podTrouble(verb, name string, err error) {
	s.note(true, "Failed"+verb, fmt.Sprintf("%s Pod %s in StatefulSet %s failed error: %s", verb, name, s.ss.Name, err), 0)
}

// done tells of the success of the last operation on a pod.
func (s *set) done(verb, name string) {
	s.note(false, "Successful"+verb, fmt.Sprintf("%s Pod %s in StatefulSet %s successful", verb, name, s.ss.Name), len(s.plan.Do))
}

func (s *set) note(warning bool, reason, message string, after int) {
	s.plan.Events = append(s.plan.Events, controller.Note{After: after, Note: event.Note{
		About: s.ss, Kind: resource.StatefulSets.Info, Warning: warning, Reason: reason, Message: message,
	}})
}

func (s *set) remove(p *corev1.Pod) {
	s.plan.Do = append(s.plan.Do, client.Delete(resource.Pods, p))
	s.done("Delete", p.Name)
}
