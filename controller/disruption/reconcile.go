// Package disruption counts for each PodDisruptionBudget how many of its pods
// may be disrupted (policy/v1, KEP-85).
package disruption

import (
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// deletionTimeout is how long an evicted pod may stay before it counts as there
// again, as upstream's.
const deletionTimeout = 2 * time.Minute

// Controller returns the controller. kinds are those whose scale tells how many
// pods are expected.
func Controller(kinds []*resource.Info) controller.Controller {
	c := controller.Controller{
		Name:        "disruption",
		EventSource: "controllermanager",
		For:         resource.PodDisruptionBudgets.Info,
		Reads:       []controller.Input{{Kind: resource.Pods.Info, Keys: budgetsOfPod}},
		Writes: []controller.Output{
			{Kind: resource.PodDisruptionBudgets.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
	}
	var scaled []*resource.Info
	for _, kind := range kinds {
		if kind.Scale != nil {
			scaled = append(scaled, kind)
			c.Reads = append(c.Reads, controller.Input{Kind: kind, Keys: budgetsOfNamespace})
		}
	}
	c.Reconcile = func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
		return reconcile(v, key, now, scaled)
	}
	return c
}

func budgetsOfPod(v *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for b := range view.List(v, resource.PodDisruptionBudgets, obj.GetNamespace()) {
		if selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && selector.Matches(labels.Set(obj.GetLabels())) {
			keys = append(keys, view.Key{Namespace: b.Namespace, Name: b.Name})
		}
	}
	return keys
}

func budgetsOfNamespace(v *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for b := range view.List(v, resource.PodDisruptionBudgets, obj.GetNamespace()) {
		keys = append(keys, view.Key{Namespace: b.Namespace, Name: b.Name})
	}
	return keys
}

func reconcile(v *view.View, key view.Key, now time.Time, scaled []*resource.Info) controller.Plan {
	b, ok := view.Get(v, resource.PodDisruptionBudgets, key.Namespace, key.Name)
	if !ok {
		return controller.Plan{}
	}
	var plan controller.Plan
	pods, err := podsOf(v, b)
	if err != nil {
		tell(&plan, b, true, "NoPods", fmt.Sprintf("Failed to get pods: %v", err))
		return stop(plan, b, err, now)
	}
	if len(pods) == 0 {
		tell(&plan, b, false, "NoPods", "No matching pods found")
	}
	e, err := expect(v, b, pods, scaled)
	if err != nil {
		tell(&plan, b, true, "CalculateExpectedPodCountFailed", fmt.Sprintf("Failed to calculate the number of expected pods: %v", err))
		return stop(plan, b, err, now)
	}
	if e.unmanaged {
		tell(&plan, b, true, "UnmanagedPods", fmt.Sprintf("Pods selected by this PodDisruptionBudget (selector: %v) were found "+
			"to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
			"To account for these pods please set \".spec.minAvailable\" "+
			"field of the PDB to an integer value.", b.Spec.Selector))
	}
	disrupted := stillDisrupted(&plan, b, pods, now)
	status := statusOf(b, e, pods, disrupted, now)
	if !apiequality.Semantic.DeepEqual(status, b.Status) {
		write(&plan, b, status)
	}
	return plan
}

func podsOf(v *view.View, b *policyv1.PodDisruptionBudget) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	for p := range view.List(v, resource.Pods, b.Namespace) {
		if selector.Matches(labels.Set(p.Labels)) {
			pods = append(pods, p)
		}
	}
	return pods, nil
}

// stop allows no disruption while something is wrong.
func stop(plan controller.Plan, b *policyv1.PodDisruptionBudget, err error, now time.Time) controller.Plan {
	status := *b.Status.DeepCopy()
	status.DisruptionsAllowed = 0
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason,
		Message: err.Error(), ObservedGeneration: status.ObservedGeneration, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
	if !apiequality.Semantic.DeepEqual(status, b.Status) {
		write(&plan, b, status)
	}
	plan.Err = fmt.Errorf("count disruptions of %s/%s: %w", b.Namespace, b.Name, err)
	return plan
}

func write(plan *controller.Plan, b *policyv1.PodDisruptionBudget, status policyv1.PodDisruptionBudgetStatus) {
	next := b.DeepCopy()
	next.Status = status
	plan.Do = append(plan.Do, client.UpdateStatus(resource.PodDisruptionBudgets, next))
}

func tell(plan *controller.Plan, b *policyv1.PodDisruptionBudget, warning bool, reason, message string) {
	plan.Events = append(plan.Events, controller.Note{Note: event.Note{
		About: b, Kind: resource.PodDisruptionBudgets.Info, Warning: warning, Reason: reason, Message: message,
	}})
}

// stillDisrupted returns the evictions whose pods are neither gone nor late. The
// plan comes back when the next one is late.
func stillDisrupted(plan *controller.Plan, b *policyv1.PodDisruptionBudget, pods []*corev1.Pod, now time.Time) map[string]metav1.Time {
	var kept map[string]metav1.Time
	for _, p := range pods {
		since, ok := b.Status.DisruptedPods[p.Name]
		if !ok || p.DeletionTimestamp != nil {
			continue
		}
		left := since.Add(deletionTimeout).Sub(now)
		if left < 0 {
			plan.Events = append(plan.Events, controller.Note{Note: event.Note{
				About: p, Kind: resource.Pods.Info, Warning: true, Reason: "NotDeleted",
				Message: fmt.Sprintf("Pod was expected by PDB %s/%s to be deleted but it wasn't", b.Namespace, b.Name),
			}})
			continue
		}
		if kept == nil {
			kept = map[string]metav1.Time{}
		}
		kept[p.Name] = since
		if again := left + time.Millisecond; plan.Again == 0 || again < plan.Again {
			plan.Again = again
		}
	}
	return kept
}

func statusOf(b *policyv1.PodDisruptionBudget, e expectation, pods []*corev1.Pod, disrupted map[string]metav1.Time, now time.Time) policyv1.PodDisruptionBudgetStatus {
	healthy := int32(0)
	for _, p := range pods {
		if _, going := disrupted[p.Name]; !going && p.DeletionTimestamp == nil && resource.PodReady(p) {
			healthy++
		}
	}
	allowed := healthy - e.desired
	if e.pods <= 0 || allowed < 0 {
		allowed = 0
	}
	status := policyv1.PodDisruptionBudgetStatus{
		CurrentHealthy: healthy, DesiredHealthy: e.desired, ExpectedPods: e.pods, DisruptionsAllowed: allowed,
		DisruptedPods: disrupted, ObservedGeneration: b.Generation,
		Conditions: b.DeepCopy().Status.Conditions,
	}
	resource.SetDisruptionAllowed(&status, metav1.NewTime(now.Truncate(time.Second)))
	return status
}

// scaledValue is a count, or a percentage of total rounded up.
func scaledValue(v *intstr.IntOrString, total int32) (int32, error) {
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(total), true)
	return int32(n), err
}
