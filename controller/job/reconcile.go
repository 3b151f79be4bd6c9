// Package job runs the pods of Jobs to their end, and counts how they ended.
//
// A pod carries a finalizer until it is counted: first its UID (or its index) is
// written to the status, then the finalizer goes, then the counter rises in the
// place of the UID. So no pod is lost or counted twice, whatever stops half way
// (KEP-2307).
package job

import (
	"fmt"
	"math/rand/v2"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller of Jobs.
func Controller() controller.Controller {
	return controller.Controller{
		Name:  "job",
		For:   resource.Jobs.Info,
		Wants: func(obj resource.Object) bool { return ours(obj.(*batchv1.Job)) },
		Reads: []controller.Input{{Kind: resource.Pods.Info, Keys: controller.KeysOfOwned(resource.Jobs, selectorOf)}},
		Writes: []controller.Output{
			{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Create, resource.Delete, resource.Patch}},
			{Kind: resource.Jobs.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcile,
	}
}

// ours says that a job is not finished, and no other controller's (KEP-4368).
func ours(job *batchv1.Job) bool { return resource.JobEnd(job) == nil && !managedElsewhere(job) }

func managedElsewhere(job *batchv1.Job) bool {
	return job.Spec.ManagedBy != nil && *job.Spec.ManagedBy != batchv1.JobControllerName
}

func selectorOf(job *batchv1.Job) (labels.Selector, error) {
	return metav1.LabelSelectorAsSelector(job.Spec.Selector)
}

func reconcile(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
	job, ok := view.Get(v, resource.Jobs, key.Namespace, key.Name)
	if !ok || !ours(job) {
		return controller.Plan{}
	}
	selector, err := selectorOf(job)
	if err != nil {
		return controller.Plan{Err: fmt.Errorf("parse selector of Job %s: %w", key, err)}
	}
	s := observe(job, now)
	s.claim(v, selector)
	s.begin()
	s.judge()
	if s.end != nil {
		s.stop()
	} else {
		s.proceed(rnd)
	}
	s.track()
	s.plan.Failed = func(op client.Op, err error) controller.Plan { return failed(v, job, op, err, now) }
	return s.plan
}

// failed tells of pods that cannot be made or removed. What is known of the
// others is counted all the same.
func failed(v *view.View, job *batchv1.Job, op client.Op, err error, now time.Time) controller.Plan {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return controller.Plan{}
	}
	s := observe(job, now)
	if op.Kind == resource.Pods.Info && op.Verb != resource.Patch {
		s.owned(v)
		s.begin()
		s.track()
		reason, message := "FailedCreate", "Error creating: "
		if op.Verb == resource.Delete {
			reason, message = "FailedDelete", "Error deleting: "
		}
		s.warn(reason, message+err.Error())
	}
	s.plan.Err = fmt.Errorf("%s: %w", op, err)
	return s.plan
}

// tell adds an event about the success of the plan's last operation.
func (s *sync) tell(reason, message string) {
	note := event.Note{About: s.job, Kind: resource.Jobs.Info, Reason: reason, Message: message}
	s.plan.Events = append(s.plan.Events, controller.Note{Note: note, After: len(s.plan.Do)})
}

// warn adds an event of class Warning, told in any case.
func (s *sync) warn(reason, message string) {
	note := event.Note{About: s.job, Kind: resource.Jobs.Info, Warning: true, Reason: reason, Message: message}
	s.plan.Events = append(s.plan.Events, controller.Note{Note: note})
}
