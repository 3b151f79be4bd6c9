package job

import (
	"math/rand/v2"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Orphans returns the controller that takes the finalizer from pods that no job
// will count any more, so that they can go.
func Orphans() controller.Controller {
	return controller.Controller{
		Name:   "job-orphan-pod",
		For:    resource.Pods.Info,
		Wants:  func(obj resource.Object) bool { return tracked(obj.(*corev1.Pod)) },
		Reads:  []controller.Input{{Kind: resource.Jobs.Info, Keys: leftBy}},
		Writes: []controller.Output{{Kind: resource.Pods.Info, Verbs: []resource.Verb{resource.Patch}}},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			p, ok := view.Get(v, resource.Pods, key.Namespace, key.Name)
			if !ok || !tracked(p) || !orphan(v, p) {
				return controller.Plan{}
			}
			return controller.Plan{Do: []client.Op{untrack(p)}}
		},
	}
}

// leftBy names the pods of a job that is gone or finished.
func leftBy(v *view.View, obj resource.Object) []view.Key {
	if job, ok := view.Get(v, resource.Jobs, obj.GetNamespace(), obj.GetName()); ok && job.UID == obj.GetUID() && resource.JobEnd(job) == nil {
		return nil
	}
	var keys []view.Key
	for p := range view.By(v, resource.Pods, resource.OwnerIndex, string(obj.GetUID())) {
		if tracked(p) {
			keys = append(keys, view.KeyOf(p))
		}
	}
	return keys
}

// orphan says that p has no job that counts it. Pods of other kinds' objects and
// of jobs that another controller manages are none of our business.
func orphan(v *view.View, p *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil {
		return true
	}
	if ref.Kind != "Job" || ref.APIVersion != batchv1.SchemeGroupVersion.String() {
		return false
	}
	job, ok := view.Get(v, resource.Jobs, p.Namespace, ref.Name)
	return !ok || job.UID != ref.UID || resource.JobEnd(job) != nil && !managedElsewhere(job)
}
