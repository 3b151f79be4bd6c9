package horizontalpodautoscaler_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/controller/horizontalpodautoscaler"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// known is metrics of which every pod, or series, has one value; below 0 there is
// none.
type known struct {
	horizontalpodautoscaler.NoMetrics
	w            *controllertest.World
	each, shared int64
	gathering    bool
}

func (k *known) Gathered() bool { return !k.gathering }

func (k *known) matching(namespace string, pods labels.Selector) (names []string) {
	for p := range view.List(k.w.View(), resource.Pods, namespace) {
		if pods.Matches(labels.Set(p.Labels)) {
			names = append(names, p.Name)
		}
	}
	return names
}

func (k *known) Resource(namespace string, pods labels.Selector, _ corev1.ResourceName) (uses []horizontalpodautoscaler.PodUse, err error) {
	if k.each < 0 {
		return nil, errors.New("no metrics returned from resource metrics API")
	}
	for _, name := range k.matching(namespace, pods) {
		uses = append(uses, horizontalpodautoscaler.PodUse{
			Pod: name, At: k.w.Clock.Now(), Window: time.Second,
			Containers: []horizontalpodautoscaler.ContainerUse{{Name: "c", Value: k.each, Known: true}},
		})
	}
	return uses, nil
}

func (k *known) Pods(namespace string, pods labels.Selector, _ string, _ labels.Selector) (map[string]horizontalpodautoscaler.Sample, error) {
	have := map[string]horizontalpodautoscaler.Sample{}
	for _, name := range k.matching(namespace, pods) {
		have[name] = horizontalpodautoscaler.Sample{Value: k.each}
	}
	return have, nil
}

func (k *known) Object(string, autoscalingv2.CrossVersionObjectReference, string, labels.Selector) (int64, error) {
	return k.shared, nil
}

func (k *known) External(string, string, labels.Selector) ([]int64, error) {
	if k.shared < 0 {
		return nil, errors.New("no metrics returned from external metrics API")
	}
	return []int64{k.shared}, nil
}

// town is a ReplicaSet of so many ready pods, each asking for one CPU, and an
// autoscaler of it.
type town struct {
	*controllertest.World
	*known
	t *testing.T
}

func newTown(t *testing.T, pods int, spec string) town {
	k := &known{}
	w := controllertest.NewWorld(t, horizontalpodautoscaler.Controller(resource.All(), k))
	k.w = w
	town := town{w, k, t}
	town.people(pods)
	w.Apply(`
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: ReplicaSet, name: web}
` + spec)
	return town
}

// people makes it n pods, as the target's own controller would.
func (town town) people(n int) {
	town.Apply(fmt.Sprintf(`
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}}
status: {replicas: %d}
`, n, n))
	for i := range n {
		town.Apply(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: web-%d, labels: {app: web}}
spec: {nodeName: n, containers: [{name: c, image: i, resources: {requests: {cpu: 1, memory: 1Gi}}}]}
status:
  phase: Running
  startTime: "2029-01-01T00:00:00Z"
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2029-01-01T00:00:00Z"}]
`, i))
	}
	for i := n; ; i++ {
		key := view.Key{Namespace: "default", Name: fmt.Sprint("web-", i)}
		if town.View().Entry(resource.Pods.Info, key) == nil {
			return
		}
		town.Remove(resource.Pods.Info, key)
	}
}

func (town town) replicas() int32 {
	rs, _ := view.Get(town.World.View(), resource.ReplicaSets, "default", "web")
	return *rs.Spec.Replicas
}

func (town town) status() autoscalingv2.HorizontalPodAutoscalerStatus {
	hpa, _ := view.Get(town.World.View(), resource.HorizontalPodAutoscalers, "default", "web")
	return hpa.Status
}

// says returns a condition as "status reason: message".
func (town town) says(kind autoscalingv2.HorizontalPodAutoscalerConditionType) string {
	for _, c := range town.status().Conditions {
		if c.Type == kind {
			return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
		}
	}
	return ""
}

func (town town) want(what, got, want string) {
	town.t.Helper()
	if !strings.Contains(got, want) {
		town.t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}

const byCPU = `  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
`

// TestFollow is a load that comes and goes: at once more pods, fewer after the
// window.
func TestFollow(t *testing.T) {
	town := newTown(t, 3, "  minReplicas: 2\n  maxReplicas: 10\n"+byCPU)
	town.each = 1000
	out := town.Settle()
	town.want("events", out, "web Normal SuccessfulRescale: New size: 6; reason: cpu resource utilization (percentage of request) above target")
	town.want("able", town.says(autoscalingv2.AbleToScale), "True SucceededRescale: the HPA controller was able to update the target scale to 6")
	town.want("active", town.says(autoscalingv2.ScalingActive), "True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)")
	town.want("limited", town.says(autoscalingv2.ScalingLimited), "False DesiredWithinRange: the desired count is within the acceptable range")
	s := town.status()
	if s.CurrentReplicas != 3 || s.DesiredReplicas != 6 || len(s.CurrentMetrics) != 1 || *s.CurrentMetrics[0].Resource.Current.AverageUtilization != 100 || s.CurrentMetrics[0].Resource.Current.AverageValue.String() != "1" {
		t.Errorf("status is %+v", s)
	}

	// The load stays for the pods there are: no more until the next look.
	town.people(6)
	if out := town.Settle(); out != "" {
		t.Errorf("looked again before its time:\n%s", out)
	}
	town.Advance(15 * time.Second)
	town.want("limited", town.says(autoscalingv2.ScalingLimited), "True TooManyReplicas: the desired replica count is more than the maximum replica count")
	if got := town.replicas(); got != 10 {
		t.Errorf("%d replicas, want 10", got)
	}

	town.people(10)
	town.each = 100
	town.Advance(15 * time.Second)
	town.want("able", town.says(autoscalingv2.AbleToScale), "True ScaleDownStabilized: recent recommendations were higher than current one, applying the highest recent recommendation")
	town.Advance(4 * time.Minute)
	if got := town.replicas(); got != 10 {
		t.Errorf("%d replicas within the window, want 10", got)
	}
	out = town.Advance(2 * time.Minute)
	town.want("events", out, "web Normal SuccessfulRescale: New size: 2; reason: All metrics below target")
}

// TestGathering waits for a load that is not there yet, and tells of nothing.
func TestGathering(t *testing.T) {
	town := newTown(t, 3, "  minReplicas: 2\n  maxReplicas: 10\n"+byCPU)
	town.each, town.gathering = 1000, true
	if out := town.Settle(); out != "" {
		t.Errorf("told of a load that is being gathered:\n%s", out)
	}
	town.gathering = false
	town.Advance(time.Second)
	if got := town.replicas(); got != 6 {
		t.Errorf("%d replicas once the load is known, want 6", got)
	}
}

// TestRestart begins a window of its own: the past is gone.
func TestRestart(t *testing.T) {
	town := newTown(t, 8, "  minReplicas: 2\n  maxReplicas: 10\n"+byCPU)
	town.each = 100
	town.Settle()
	town.want("able", town.says(autoscalingv2.AbleToScale), "True ScaleDownStabilized")
	if got := town.replicas(); got != 8 {
		t.Errorf("%d replicas at the start, want 8", got)
	}
}

// TestBehavior adds no more than the policy in its period.
func TestBehavior(t *testing.T) {
	town := newTown(t, 3, `  minReplicas: 1
  maxReplicas: 100
`+byCPU+`  behavior:
    scaleUp: {selectPolicy: Max, stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 2, periodSeconds: 60}]}
    scaleDown: {selectPolicy: Max, policies: [{type: Percent, value: 100, periodSeconds: 15}]}
`)
	town.each = 1000
	town.Settle()
	town.want("limited", town.says(autoscalingv2.ScalingLimited), "True ScaleUpLimit: the desired replica count is increasing faster than the maximum scale rate")
	for _, test := range []struct {
		after time.Duration
		want  int32
	}{{0, 5}, {45 * time.Second, 5}, {15 * time.Second, 7}, {45 * time.Second, 7}, {15 * time.Second, 9}} {
		town.people(int(town.replicas()))
		town.Advance(test.after)
		if got := town.replicas(); got != test.want {
			t.Errorf("after %v: %d replicas, want %d", test.after, got, test.want)
		}
	}
}

// TestMetrics has every kind of metric once, with the words for it.
func TestMetrics(t *testing.T) {
	for _, test := range []struct{ spec, reason string }{
		{`{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1}}}`, "memory resource"},
		{`{type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 100}}}`, "cpu container resource utilization (percentage of request)"},
		{`{type: Pods, pods: {metric: {name: hits}, target: {type: AverageValue, averageValue: 1}}}`, "pods metric hits"},
		{`{type: Object, object: {describedObject: {kind: Service, name: web}, metric: {name: hits}, target: {type: Value, value: 2}}}`, "Service metric hits"},
		{`{type: Object, object: {describedObject: {kind: Service, name: web}, metric: {name: hits}, target: {type: AverageValue, averageValue: 1}}}`, "external metric hits(nil)"},
		{`{type: External, external: {metric: {name: queue}, target: {type: Value, value: 2}}}`, "external metric queue(nil)"},
		{`{type: External, external: {metric: {name: queue, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: 1}}}`, "external metric queue(&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},})"},
	} {
		town := newTown(t, 2, "  minReplicas: 1\n  maxReplicas: 10\n  metrics: ["+test.spec+"]\n")
		town.each, town.shared = 2000, 4000
		town.want(test.spec, town.Settle(), "SuccessfulRescale: New size: 4; reason: "+test.reason+" above target\n")
	}
}

// TestPartlyKnown lets what is known make a target bigger, not smaller.
func TestPartlyKnown(t *testing.T) {
	const both = `  minReplicas: 1
  maxReplicas: 10
  metrics:
  - {type: External, external: {metric: {name: queue}, target: {type: Value, value: 1}}}
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
`
	town := newTown(t, 3, both)
	town.each, town.shared = 1000, -1
	out := town.Settle()
	town.want("events", out, "Warning FailedGetExternalMetric: unable to get external metric default/queue/nil: no metrics returned from external metrics API")
	town.want("events", out, "SuccessfulRescale: New size: 6; reason: cpu")
	if town.status().CurrentMetrics[0].Type != "" || town.status().CurrentMetrics[1].Type != "Resource" {
		t.Errorf("metrics are %v", town.status().CurrentMetrics)
	}

	town = newTown(t, 3, both)
	town.each, town.shared = 100, -1
	out = town.Settle()
	town.want("events", out, "Warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 2), first error is: failed to get queue external metric value: failed to get external metric queue: unable to get external metric")
	town.want("active", town.says(autoscalingv2.ScalingActive), "False FailedGetExternalMetric: the HPA was unable to compute the replica count: unable to get external metric")
	if got := town.replicas(); got != 3 {
		t.Errorf("%d replicas, want 3", got)
	}
}

// TestZero goes to no pods and back by a load that is told elsewhere (KEP-2021).
func TestZero(t *testing.T) {
	town := newTown(t, 1, `  minReplicas: 0
  maxReplicas: 10
  metrics: [{type: External, external: {metric: {name: queue}, target: {type: Value, value: 1}}}]
  behavior:
    scaleUp: {selectPolicy: Max, policies: [{type: Pods, value: 4, periodSeconds: 15}]}
    scaleDown: {selectPolicy: Max, stabilizationWindowSeconds: 0, policies: [{type: Percent, value: 100, periodSeconds: 15}]}
`)
	town.Settle()
	town.want("zero", town.says(autoscalingv2.ScaledToZero), "True ScaledToZero: the HPA controller scaled the workload to zero")
	town.people(0)
	town.shared = 3000
	town.Advance(15 * time.Second)
	town.want("zero", town.says(autoscalingv2.ScaledToZero), "False NotScaledToZero")
	if got := town.replicas(); got != 3 {
		t.Errorf("%d replicas, want 3", got)
	}
}

// TestWoken leaves zero for a higher minimum, even without load.
func TestWoken(t *testing.T) {
	spec := func(least int) string {
		return fmt.Sprintf(`  minReplicas: %d
  maxReplicas: 10
  metrics: [{type: External, external: {metric: {name: queue}, target: {type: Value, value: 1}}}]
status:
  conditions: [{type: ScaledToZero, status: "True"}]
`, least)
	}
	town := newTown(t, 0, spec(0))
	town.Settle()
	town.want("able", town.says(autoscalingv2.AbleToScale), "True ReadyForNewScale: recommended size matches current size")
	if got := town.replicas(); got != 0 {
		t.Errorf("%d replicas without load, want 0", got)
	}
	town = newTown(t, 0, spec(2))
	town.Settle()
	town.want("zero", town.says(autoscalingv2.ScaledToZero), "False NotScaledToZero")
	if got := town.replicas(); got != 2 {
		t.Errorf("%d replicas, want 2", got)
	}
}

// TestRefused tells of a target that cannot be scaled, and counts nothing as done.
func TestRefused(t *testing.T) {
	town := newTown(t, 3, "  minReplicas: 2\n  maxReplicas: 10\n"+byCPU)
	town.each = 1000
	refused := errors.New("the door is shut")
	town.Before = func(op client.Op) error {
		if op.Subresource == "scale" {
			return refused
		}
		return nil
	}
	out := town.Settle()
	town.want("events", out, "Warning FailedRescale: New size: 6; reason: cpu resource utilization (percentage of request) above target; error: the door is shut")
	town.want("able", town.says(autoscalingv2.AbleToScale), "False FailedUpdateScale: the HPA controller was unable to update the target scale: the door is shut")
	town.want("active", town.says(autoscalingv2.ScalingActive), "True ValidMetricFound")
	if s := town.status(); s.CurrentReplicas != 3 || s.DesiredReplicas != 0 || s.LastScaleTime != nil || strings.Contains(out, "SuccessfulRescale") {
		t.Errorf("status is %+v after\n%s", s, out)
	}
	refused = nil
	town.want("events", town.Advance(15*time.Second), "SuccessfulRescale: New size: 6")
}
