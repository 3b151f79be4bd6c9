// Package deployment rolls out the pod template of each Deployment through
// ReplicaSets, one per revision of the template.
package deployment

import (
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "deployment",
		For:  resource.Deployments.Info,
		Reads: []controller.Input{
			{Kind: resource.ReplicaSets.Info, Keys: controller.KeysOfOwned(resource.Deployments, selectorOf)},
			{Kind: resource.Pods.Info, Keys: keysOfPod},
		},
		Writes: []controller.Output{
			{Kind: resource.ReplicaSets.Info, Verbs: []resource.Verb{resource.Create, resource.Update, resource.Patch, resource.Delete}},
			{Kind: resource.Deployments.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcile,
	}
}

// keysOfPod names the pod's Deployment if it is one that waits for the old pods
// to be gone. The others see their pods in the status of the ReplicaSets.
func keysOfPod(v *view.View, obj resource.Object) []view.Key {
	ref := metav1.GetControllerOfNoCopy(obj)
	if ref == nil || ref.Kind != resource.ReplicaSets.Kind.Kind {
		return nil
	}
	rs, ok := view.Get(v, resource.ReplicaSets, obj.GetNamespace(), ref.Name)
	if !ok {
		return nil
	}
	if ref = metav1.GetControllerOfNoCopy(rs); ref == nil {
		return nil
	}
	d, ok := view.Get(v, resource.Deployments, obj.GetNamespace(), ref.Name)
	if !ok || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		return nil
	}
	return []view.Key{view.KeyOf(d)}
}

func selectorOf(d *appsv1.Deployment) (labels.Selector, error) {
	if d.Spec.Selector == nil {
		return labels.Nothing(), nil
	}
	return metav1.LabelSelectorAsSelector(d.Spec.Selector)
}

func reconcile(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	d, ok := view.Get(v, resource.Deployments, key.Namespace, key.Name)
	if !ok {
		return controller.Plan{}
	}
	selector, err := selectorOf(d)
	if err != nil {
		return controller.Plan{Err: fmt.Errorf("parse selector of Deployment %s: %w", key, err)}
	}
	r := newRollout(v, d, now)
	if selector.Empty() {
		r.warn("SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
		r.status.ObservedGeneration = d.Generation
		return r.finish()
	}
	r.claim(selector)
	switch {
	case d.DeletionTimestamp != nil:
		r.countStatus()
	case d.Spec.Paused || r.scaled():
		r.pauseCondition()
		r.keep()
		r.spread()
		if d.Spec.Paused {
			r.cleanup()
		}
		r.countStatus()
	case d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		r.pauseCondition()
		r.recreate()
	default:
		r.pauseCondition()
		r.roll()
	}
	return r.finish()
}

// rollout is the work on one Deployment: what is, and what shall be. The
// ReplicaSets in it are copies where they differ from the view's.
type rollout struct {
	v   *view.View
	d   *appsv1.Deployment
	now time.Time

	new *appsv1.ReplicaSet   // of the current template; nil if there is none
	old []*appsv1.ReplicaSet // oldest first

	status   appsv1.DeploymentStatus // to be
	revision string                  // to be annotated; "" leaves it
	created  bool                    // new is only planned
	plan     controller.Plan
	edited   map[*appsv1.ReplicaSet]bool // copies to be updated
}

func newRollout(v *view.View, d *appsv1.Deployment, now time.Time) *rollout {
	return &rollout{v: v, d: d, now: now, status: *d.Status.DeepCopy(), edited: map[*appsv1.ReplicaSet]bool{}}
}

// finish makes the plan: ReplicaSets, then status and revision.
func (r *rollout) finish() controller.Plan {
	if op, changed := r.writeStatus(); changed {
		r.plan.Do = append(r.plan.Do, op)
	}
	return r.plan
}

// claim finds the Deployment's ReplicaSets, adopts and releases.
func (r *rollout) claim(selector labels.Selector) {
	var all []*appsv1.ReplicaSet
	for rs := range view.List(r.v, resource.ReplicaSets, r.d.Namespace) {
		owner := metav1.GetControllerOfNoCopy(rs)
		if owner != nil && owner.UID != r.d.UID {
			continue
		}
		matches := selector.Matches(labels.Set(rs.Labels))
		switch {
		case owner != nil && matches:
			all = append(all, rs)
		case r.d.DeletionTimestamp != nil:
		case owner != nil:
			r.plan.Do = append(r.plan.Do, pod.Release(resource.ReplicaSets.Info, rs, r.d.UID))
		case matches && rs.DeletionTimestamp == nil:
			r.plan.Do = append(r.plan.Do, pod.Adopt(resource.ReplicaSets.Info, rs, r.d, resource.Deployments.Info))
			all = append(all, rs)
		}
	}
	r.sort(all)
}

func (r *rollout) note(warning bool, reason, message string, after int) {
	r.plan.Events = append(r.plan.Events, controller.Note{After: after, Note: event.Note{
		About: r.d, Kind: resource.Deployments.Info, Warning: warning, Reason: reason, Message: message,
	}})
}

func (r *rollout) warn(reason, message string) { r.note(true, reason, message, 0) }

// podsRun says that a pod of an old ReplicaSet is there that may still run.
func (r *rollout) podsRun() bool {
	for _, rs := range r.old {
		if rs.Status.Replicas > 0 {
			return true
		}
		for p := range view.By(r.v, resource.Pods, resource.OwnerIndex, string(rs.UID)) {
			if p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
				return true
			}
		}
	}
	return false
}
