package operator

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-sh/skiff/skifftest"
)

// In virtual time a CronJob fires when the test says so, and its job is gone when
// its time to live is over. Listers see it all.
func TestCronJobInVirtualTime(t *testing.T) {
	c := skifftest.Start(t, skifftest.VirtualTime())
	clients, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(clients, 0)
	jobs, pods := factory.Batch().V1().Jobs().Lister(), factory.Core().V1().Pods().Lister()
	factory.Start(t.Context().Done())
	t.Cleanup(factory.Shutdown)
	factory.WaitForCacheSync(t.Context().Done())
	ttl := int32(100)
	_, err = clients.BatchV1().CronJobs("default").Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
		Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{
			TTLSecondsAfterFinished: &ttl,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{skifftest.FinishAfter: "1m"}},
				Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
					Containers: []corev1.Container{{Name: "backup", Image: "backup"}}},
			},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Settle()
	due := time.Date(c.Now().Year(), c.Now().Month(), c.Now().Day(), 3, 0, 0, 0, time.UTC)
	if !due.After(c.Now()) {
		due = due.AddDate(0, 0, 1)
	}
	c.Advance(due.Sub(c.Now()) - time.Second)
	if list, err := clients.BatchV1().Jobs("default").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Fatalf("a second too early: %d jobs, %v", len(list.Items), err)
	}
	c.Advance(2 * time.Second)
	eventually(t, "the listers see a job and its running pod", func() bool {
		j, _ := jobs.List(labels.Everything())
		p, _ := pods.Pods("default").List(labels.Everything())
		return len(j) == 1 && j[0].Status.Active == 1 && len(p) == 1 && p[0].Status.Phase == corev1.PodRunning
	})
	c.Advance(70 * time.Second)
	eventually(t, "the lister sees the job complete", func() bool {
		j, _ := jobs.List(labels.Everything())
		return len(j) == 1 && j[0].Status.Succeeded == 1 && j[0].Status.CompletionTime != nil
	})
	c.Advance(100 * time.Second)
	eventually(t, "the lister sees job and pod gone", func() bool {
		j, _ := jobs.List(labels.Everything())
		p, _ := pods.List(labels.Everything())
		return len(j) == 0 && len(p) == 0
	})
}
