// Package horizontalpodautoscaler keeps what HorizontalPodAutoscalers point at
// within their bounds and at the size that their load asks for (KEP-853, KEP-2021,
// KEP-4951). What is known of the load is handed in as Metrics.
package horizontalpodautoscaler

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
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

// soon is when a load is looked at again that is being gathered.
const soon = 500 * time.Millisecond

// Controller returns the controller. It scales those of kinds that have a scale.
func Controller(kinds []*resource.Info, metrics Metrics) controller.Controller {
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
	c.Recall = func(v *view.View, key view.Key, now time.Time, _ *rand.Rand, kept any) controller.Plan {
		hpa, ok := view.Get(v, resource.HorizontalPodAutoscalers, key.Namespace, key.Name)
		if !ok {
			return controller.Plan{}
		}
		before, _ := kept.(past)
		if wait := before.due(hpa).Sub(now); wait > 0 {
			return controller.Plan{Keep: before, Again: wait}
		}
		if byUse(hpa.Spec.Metrics) && !metrics.Gathered() {
			return controller.Plan{Keep: before, Again: soon}
		}
		s := &sync{
			v: v, kinds: kinds, metrics: metrics, hpa: hpa, now: now,
			past: before.since(hpa, now), status: *hpa.Status.DeepCopy(),
		}
		s.reconcile()
		s.plan.Again = period
		s.plan.Keep = s.past
		s.plan.Failed = s.failed
		return s.plan
	}
	return c
}

// sync is one look at an autoscaler.
type sync struct {
	v       *view.View
	kinds   []*resource.Info
	metrics Metrics
	hpa     *autoscalingv2.HorizontalPodAutoscaler
	now     time.Time
	past    past
	status  autoscalingv2.HorizontalPodAutoscalerStatus // to be
	unable  *unscaled
	plan    controller.Plan
}

// unscaled is what holds where the target cannot be scaled after all.
type unscaled struct {
	size   int32
	why    string
	status autoscalingv2.HorizontalPodAutoscalerStatus
	past   past
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
	if len(s.past.wanted) == 0 {
		s.past = s.past.want(scale.replicas, s.now, 0)
	}
	least := int32(1)
	if s.hpa.Spec.MinReplicas != nil {
		least = *s.hpa.Spec.MinReplicas
	}
	switch {
	case scale.replicas == 0 && !s.wakes(least):
		s.set(autoscalingv2.ScalingActive, false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		s.status.DesiredReplicas = 0
	case scale.replicas > s.hpa.Spec.MaxReplicas:
		s.rescale(scale, s.hpa.Spec.MaxReplicas, least, "Current number of replicas above Spec.MaxReplicas")
	case scale.replicas != 0 && scale.replicas < least:
		s.rescale(scale, least, least, "Current number of replicas below Spec.MinReplicas")
	default:
		s.follow(scale, least)
	}
	s.write()
}

// follow brings the target to the size that its load asks for, as far as bounds,
// rate and what was asked for lately allow.
func (s *sync) follow(scale target, least int32) {
	p, ok := s.measure(scale)
	if !ok {
		return
	}
	wanted, why := max(p.n, 0), ""
	switch {
	case wanted > scale.replicas:
		why = p.metric + " above target"
	case wanted < scale.replicas:
		why = "All metrics below target"
	}
	n := s.limit(wish{
		size: scale.replicas, wanted: wanted, least: least, most: s.hpa.Spec.MaxReplicas,
		behavior: s.hpa.Spec.Behavior, now: s.now,
	})
	if scale.replicas == 0 && s.wakes(least) && n < least {
		n = least
		why = cmp.Or(why, "Current number of replicas below Spec.MinReplicas")
	}
	if n == scale.replicas {
		s.status.DesiredReplicas = n
		return
	}
	s.rescale(scale, n, least, why)
}

// limit returns the size for a wish, tells of what held it back, and remembers it.
func (s *sync) limit(w wish) int32 {
	stable := w.stable(s.past)
	if stable.reason == "" {
		stable.reason, stable.message = "ReadyForNewScale", "recommended size matches current size"
	}
	s.set(autoscalingv2.AbleToScale, true, stable.reason, stable.message)
	v := w.allowed(stable.n, s.past)
	s.set(autoscalingv2.ScalingLimited, v.n != stable.n, v.reason, v.message)
	s.past = s.past.want(w.wanted, s.now, max(windows(w.behavior)))
	return v.n
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

// byUse tells whether any of the metrics is of what pods use.
func byUse(metrics []autoscalingv2.MetricSpec) bool {
	return slices.ContainsFunc(metrics, func(m autoscalingv2.MetricSpec) bool {
		return m.Type == autoscalingv2.ResourceMetricSourceType || m.Type == autoscalingv2.ContainerResourceMetricSourceType
	})
}

func byLoadElsewhere(metrics []autoscalingv2.MetricSpec) bool {
	for _, m := range metrics {
		if m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType {
			return true
		}
	}
	return false
}

func (s *sync) rescale(scale target, n, least int32, why string) {
	s.unable = &unscaled{size: n, why: why, status: *s.status.DeepCopy(), past: s.past}
	patch := map[string]any{"spec": map[string]any{"replicas": n}}
	op := client.MergePatch(resource.HorizontalPodAutoscalers, s.hpa.Namespace, s.hpa.Spec.ScaleTargetRef.Name, "scale", patch)
	op.Kind = scale.kind
	s.plan.Do = append(s.plan.Do, op)
	s.note(false, "SuccessfulRescale", fmt.Sprintf("New size: %d; reason: %s", n, why), len(s.plan.Do))
	s.set(autoscalingv2.AbleToScale, true, "SucceededRescale", fmt.Sprintf("the HPA controller was able to update the target scale to %d", n))
	if scale.replicas > 0 && n == 0 && least == 0 && byLoadElsewhere(s.hpa.Spec.Metrics) {
		s.set(autoscalingv2.ScaledToZero, true, "ScaledToZero", "the HPA controller scaled the workload to zero")
	} else {
		s.set(autoscalingv2.ScaledToZero, false, "NotScaledToZero", "the HPA controller did not scale the workload to zero")
	}
	s.status.DesiredReplicas = n
	s.status.LastScaleTime = &metav1.Time{Time: s.now}
	s.past = s.past.scaled(scale.replicas, n, s.now, s.hpa.Spec.Behavior)
}

// failed tells of a target that cannot be scaled.
func (s *sync) failed(op client.Op, err error) controller.Plan {
	f := &sync{hpa: s.hpa, now: s.now, past: s.past}
	if op.Subresource == "scale" {
		f.status, f.past = s.unable.status, s.unable.past
		f.warn("FailedRescale", fmt.Sprintf("New size: %d; reason: %s; error: %v", s.unable.size, s.unable.why, err))
		f.set(autoscalingv2.AbleToScale, false, "FailedUpdateScale", fmt.Sprintf("the HPA controller was unable to update the target scale: %v", err))
		f.write()
	}
	f.plan.Err, f.plan.Keep = fmt.Errorf("%s: %w", op, err), f.past
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
