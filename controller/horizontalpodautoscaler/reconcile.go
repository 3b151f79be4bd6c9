// Package horizontalpodautoscaler keeps what HorizontalPodAutoscalers point at
// within their bounds, and tells when the load cannot be known.
//
// It follows the bounds and not the load: there is no metrics API in a cluster
// without aggregation, and each metric is answered as upstream answers it there.
package horizontalpodautoscaler

import (
	"fmt"
	"math/rand/v2"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// period is how often the load is looked at, as upstream's.
const period = 15 * time.Second

// Controller returns the controller. It scales those of kinds that have a scale.
func Controller(kinds []*resource.Info) controller.Controller {
	c := controller.Controller{
		Name:   "horizontal-pod-autoscaler",
		For:    resource.HorizontalPodAutoscalers.Info,
		Reads:  []controller.Input{{Kind: resource.Pods.Info}},
		Writes: []controller.Output{{Kind: resource.HorizontalPodAutoscalers.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}}},
	}
	for _, info := range kinds {
		if info.Scale != nil {
			c.Reads = append(c.Reads, controller.Input{Kind: info})
			c.Writes = append(c.Writes, controller.Output{Kind: info, Subresource: "scale", Verbs: []resource.Verb{resource.Patch}})
		}
	}
	c.Reconcile = func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
		hpa, ok := view.Get(v, resource.HorizontalPodAutoscalers, key.Namespace, key.Name)
		if !ok {
			return controller.Plan{}
		}
		s := &sync{v: v, kinds: kinds, hpa: hpa, now: now, status: *hpa.Status.DeepCopy()}
		s.reconcile()
		s.plan.Again = period
		s.plan.Failed = s.failed
		return s.plan
	}
	return c
}

// sync is one look at an autoscaler.
type sync struct {
	v      *view.View
	kinds  []*resource.Info
	hpa    *autoscalingv2.HorizontalPodAutoscaler
	now    time.Time
	status autoscalingv2.HorizontalPodAutoscalerStatus // to be
	plan   controller.Plan
}

func (s *sync) reconcile() {
	scale, err := targetOf(s.v, s.kinds, s.hpa)
	if err != nil {
		s.warn("FailedGetScale", err.Error())
		s.set(autoscalingv2.AbleToScale, false, "FailedGetScale", fmt.Sprintf("the HPA controller was unable to get the target's current scale: %v", err))
		s.write()
		return
	}
	s.set(autoscalingv2.AbleToScale, true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
	s.status.CurrentReplicas = scale.replicas
	s.status.ObservedGeneration = &s.hpa.Generation
	s.status.CurrentMetrics = nil
	least := int32(1)
	if s.hpa.Spec.MinReplicas != nil {
		least = *s.hpa.Spec.MinReplicas
	}
	switch {
	case scale.replicas == 0 && !s.wakes(least):
		s.set(autoscalingv2.ScalingActive, false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		s.status.DesiredReplicas = 0
	case scale.replicas > s.hpa.Spec.MaxReplicas:
		s.rescale(scale, s.hpa.Spec.MaxReplicas, "Current number of replicas above Spec.MaxReplicas")
	case scale.replicas != 0 && scale.replicas < least:
		s.rescale(scale, least, "Current number of replicas below Spec.MinReplicas")
	default:
		s.measure(scale)
	}
	s.write()
}

// wakes says that a target without pods may get some: it was this autoscaler that
// took them (KEP-2021).
func (s *sync) wakes(least int32) bool {
	slept := false
	for _, c := range s.status.Conditions {
		slept = slept || c.Type == autoscalingv2.ScaledToZero && c.Status == corev1.ConditionTrue
	}
	return slept && (least != 0 || byLoadElsewhere(s.hpa.Spec.Metrics))
}

func byLoadElsewhere(metrics []autoscalingv2.MetricSpec) bool {
	for _, m := range metrics {
		if m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType {
			return true
		}
	}
	return false
}

func (s *sync) rescale(scale target, n int32, why string) {
	patch := map[string]any{"spec": map[string]any{"replicas": n}}
	op := client.MergePatch(resource.HorizontalPodAutoscalers, s.hpa.Namespace, s.hpa.Spec.ScaleTargetRef.Name, "scale", patch)
	op.Kind = scale.kind
	s.plan.Do = append(s.plan.Do, op)
	s.note(false, "SuccessfulRescale", fmt.Sprintf("New size: %d; reason: %s", n, why), len(s.plan.Do))
	s.set(autoscalingv2.AbleToScale, true, "SucceededRescale", fmt.Sprintf("the HPA controller was able to update the target scale to %d", n))
	s.set(autoscalingv2.ScaledToZero, false, "NotScaledToZero", "the HPA controller did not scale the workload to zero")
	s.status.DesiredReplicas = n
	s.status.LastScaleTime = &metav1.Time{Time: s.now}
}

// failed tells of a target that cannot be scaled.
func (s *sync) failed(op client.Op, err error) controller.Plan {
	f := &sync{hpa: s.hpa, now: s.now, status: *s.hpa.Status.DeepCopy()}
	f.plan.Err = fmt.Errorf("%s: %w", op, err)
	if op.Subresource == "scale" {
		f.warn("FailedRescale", fmt.Sprintf("New size: %d; error: %v", s.status.DesiredReplicas, err))
		f.set(autoscalingv2.AbleToScale, false, "FailedUpdateScale", fmt.Sprintf("the HPA controller was unable to update the target scale: %v", err))
		f.write()
	}
	return f.plan
}

func (s *sync) write() {
	if apiequality.Semantic.DeepEqual(s.hpa.Status, s.status) {
		return
	}
	next := s.hpa.DeepCopy()
	next.Status = s.status
	s.plan.Do = append(s.plan.Do, client.UpdateStatus(resource.HorizontalPodAutoscalers, next))
}

func (s *sync) set(t autoscalingv2.HorizontalPodAutoscalerConditionType, is bool, reason, message string) {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	next := autoscalingv2.HorizontalPodAutoscalerCondition{
		Type: t, Status: status, LastTransitionTime: metav1.NewTime(s.now), Reason: reason, Message: message,
	}
	for i, c := range s.status.Conditions {
		if c.Type != t {
			continue
		}
		if c.Status == status {
			next.LastTransitionTime = c.LastTransitionTime
		}
		s.status.Conditions[i] = next
		return
	}
	s.status.Conditions = append(s.status.Conditions, next)
}

// warn adds an event of class Warning, told in any case.
func (s *sync) warn(reason, message string) { s.note(true, reason, message, 0) }

func (s *sync) note(warning bool, reason, message string, after int) {
	note := event.Note{About: s.hpa, Kind: resource.HorizontalPodAutoscalers.Info, Warning: warning, Reason: reason, Message: message}
	s.plan.Events = append(s.plan.Events, controller.Note{Note: note, After: after})
}
