package sim

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/kubelet"
)

// makers are the kinds that make pods for users.
var makers = []*resource.Info{
	resource.Deployments.Info, resource.StatefulSets.Info, resource.DaemonSets.Info,
	resource.Jobs.Info, resource.CronJobs.Info, resource.ReplicaSets.Info,
}

// most is how many workloads there are at once: all their pods fit on the nodes.
const most = 6

// creators make a workload each, and are drawn alike but for those named twice.
var creators = []func(s *Sim, meta metav1.ObjectMeta){
	(*Sim).createDeployment, (*Sim).createDeployment, (*Sim).createDeployment,
	(*Sim).createStatefulSet, (*Sim).createStatefulSet, (*Sim).createDaemonSet,
	(*Sim).createJob, (*Sim).createJob, (*Sim).createCronJob, (*Sim).createReplicaSet,
}

func (s *Sim) create() {
	if len(s.workloads(makers...)) >= most {
		return
	}
	s.workload++
	pick(s, creators)(s, metav1.ObjectMeta{Namespace: pick(s, namespaces), Name: fmt.Sprintf("app-%d", s.workload)})
}

func app(name string) map[string]string { return map[string]string{"app": name} }

func fromInt(n int) intstr.IntOrString { return intstr.FromInt32(int32(n)) }

func (s *Sim) pods(name string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: app(name), Annotations: map[string]string{
			kubelet.StartAfter: fmt.Sprintf("%ds", s.rnd.IntN(4)), kubelet.StopAfter: fmt.Sprintf("%ds", s.rnd.IntN(4)),
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: apiresource.MustParse("200m")},
		}}}},
	}
}

func selector(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: app(name)}
}

func (s *Sim) createService(meta metav1.ObjectMeta, ip string) {
	_ = s.as(client.Create(resource.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: app(meta.Name), Ports: []corev1.ServicePort{{Port: 80}}, ClusterIP: ip,
	}}))
}

func (s *Sim) createDeployment(meta metav1.ObjectMeta) {
	s.createService(meta, "")
	d := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(s.rnd.IntN(5))), Selector: selector(meta.Name), Template: s.pods(meta.Name),
		RevisionHistoryLimit: ptr.To(int32(1 + s.rnd.IntN(3))), MinReadySeconds: int32(s.rnd.IntN(3)),
	}}
	switch s.rnd.IntN(4) {
	case 0:
		d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	case 1:
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(fromInt(0)), MaxUnavailable: ptr.To(fromInt(1))}
	}
	_ = s.as(client.Create(resource.Deployments, d))
}

func (s *Sim) createStatefulSet(meta metav1.ObjectMeta) {
	s.createService(meta, corev1.ClusterIPNone)
	set := &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To(int32(s.rnd.IntN(4))), Selector: selector(meta.Name), Template: s.pods(meta.Name), ServiceName: meta.Name,
	}}
	if s.rnd.IntN(3) == 0 {
		set.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
	}
	_ = s.as(client.Create(resource.StatefulSets, set))
}

func (s *Sim) createDaemonSet(meta metav1.ObjectMeta) {
	_ = s.as(client.Create(resource.DaemonSets, &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{
		Selector: selector(meta.Name), Template: s.pods(meta.Name),
	}}))
}

// jobOf is a job whose pods all end, some of them badly.
func (s *Sim) jobOf(name string) batchv1.JobSpec {
	pods := s.pods(name)
	pods.Spec.RestartPolicy = corev1.RestartPolicyNever
	pods.Annotations[kubelet.FinishAfter] = fmt.Sprintf("%ds", s.rnd.IntN(20))
	if s.rnd.IntN(5) == 0 {
		pods.Annotations[kubelet.ExitCode] = "1"
	}
	job := batchv1.JobSpec{
		Template: pods, Parallelism: ptr.To(int32(1 + s.rnd.IntN(3))), Completions: ptr.To(int32(1 + s.rnd.IntN(4))),
		BackoffLimit: ptr.To(int32(s.rnd.IntN(3))),
	}
	if s.rnd.IntN(3) == 0 {
		job.CompletionMode = ptr.To(batchv1.IndexedCompletion)
	}
	if s.rnd.IntN(4) == 0 {
		job.TTLSecondsAfterFinished = ptr.To(int32(s.rnd.IntN(60)))
	}
	return job
}

func (s *Sim) createJob(meta metav1.ObjectMeta) {
	_ = s.as(client.Create(resource.Jobs, &batchv1.Job{ObjectMeta: meta, Spec: s.jobOf(meta.Name)}))
}

func (s *Sim) createCronJob(meta metav1.ObjectMeta) {
	job := s.jobOf(meta.Name)
	job.Parallelism, job.Completions = ptr.To[int32](1), ptr.To[int32](1)
	job.Template.Annotations[kubelet.FinishAfter] = fmt.Sprintf("%ds", s.rnd.IntN(150)) // some outlast the next
	_ = s.as(client.Create(resource.CronJobs, &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
		Schedule: "* * * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: job},
		ConcurrencyPolicy: pick(s, []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent}),
	}}))
}

// createReplicaSet makes one that no deployment owns, under a name that may have
// been another's.
func (s *Sim) createReplicaSet(meta metav1.ObjectMeta) {
	meta.Name = fmt.Sprintf("rs-%d", s.rnd.IntN(2))
	_ = s.as(client.Create(resource.ReplicaSets, &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{
		Replicas: ptr.To(int32(s.rnd.IntN(4))), Selector: selector(meta.Name), Template: s.pods(meta.Name),
	}}))
}

// autoscale bounds how far a deployment may be scaled; there are no metrics.
func (s *Sim) autoscale() {
	e := s.some(resource.Deployments.Info)
	if e == nil {
		return
	}
	_ = s.as(client.Create(resource.HorizontalPodAutoscalers, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Key.Namespace, Name: e.Key.Name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: e.Key.Name},
			MinReplicas:    ptr.To(int32(1 + s.rnd.IntN(2))), MaxReplicas: int32(2 + s.rnd.IntN(2)),
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](50)},
			}}},
		},
	}))
}
