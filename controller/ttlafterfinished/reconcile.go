// Package ttlafterfinished deletes finished Jobs that are older than they asked to
// become.
package ttlafterfinished

import (
	"math/rand/v2"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "ttl-after-finished",
		For:  resource.Jobs.Info,
		Wants: func(obj resource.Object) bool {
			job := obj.(*batchv1.Job)
			return job.Spec.TTLSecondsAfterFinished != nil && !finishedAt(job).IsZero()
		},
		Writes:    []controller.Output{{Kind: resource.Jobs.Info, Verbs: []resource.Verb{resource.Delete}}},
		Reconcile: reconcile,
	}
}

func reconcile(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	job, ok := view.Get(v, resource.Jobs, key.Namespace, key.Name)
	if !ok || job.DeletionTimestamp != nil || job.Spec.TTLSecondsAfterFinished == nil {
		return controller.Plan{}
	}
	at := finishedAt(job)
	if at.IsZero() {
		return controller.Plan{}
	}
	if left := at.Add(time.Duration(*job.Spec.TTLSecondsAfterFinished) * time.Second).Sub(now); left > 0 {
		return controller.Plan{Again: left}
	}
	return controller.Plan{Do: []client.Op{remove(job)}}
}

// remove deletes this state of the job, since a longer time to live may have come
// in between, and its pods before it.
func remove(job *batchv1.Job) client.Op {
	op := client.Delete(resource.Jobs, job)
	foreground := metav1.DeletePropagationForeground
	op.Delete.PropagationPolicy = &foreground
	op.Delete.Preconditions.ResourceVersion = &job.ResourceVersion
	return op
}

// finishedAt returns when the job completed or failed; no time if it did not.
func finishedAt(job *batchv1.Job) time.Time {
	if c := resource.JobEnd(job); c != nil {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}
