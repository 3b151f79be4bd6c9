package horizontalpodautoscaler

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// crew returns pods of two containers that ask for so many thousandths of CPU each;
// the last number is for the rest. A letter is a pod: r is ready, u is not, h and x
// are so and have just started, p is pending, f failed, d is being deleted.
func crew(states string, asks ...int64) (pods []*corev1.Pod) {
	for i, state := range states {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("pod-", i)}}
		ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
		p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &metav1.Time{}
		if strings.ContainsRune("uxpfd", state) {
			ready.Status = corev1.ConditionFalse
		}
		switch state {
		case 'h', 'x':
			p.Status.StartTime.Time = noon
		case 'p':
			p.Status.Phase = corev1.PodPending
		case 'f':
			p.Status.Phase = corev1.PodFailed
		case 'd':
			p.DeletionTimestamp = &metav1.Time{Time: noon}
		}
		p.Status.Conditions = []corev1.PodCondition{ready}
		for _, name := range []string{"one", "two"} {
			c := corev1.Container{Name: name}
			if len(asks) > 0 {
				ask := asks[min(i, len(asks)-1)]
				c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(ask, resource.DecimalSI)}
			}
			p.Spec.Containers = append(p.Spec.Containers, c)
		}
		pods = append(pods, p)
	}
	return pods
}

// both is pods whose containers use the same.
func both(levels ...int64) (out [][2]int64) {
	for _, n := range levels {
		out = append(out, [2]int64{n, n})
	}
	return out
}

// usesOf is what pod 0, 1 and so on use; a level below 0 is not known.
func usesOf(levels [][2]int64) (out []PodUse) {
	for i, l := range levels {
		use := PodUse{Pod: fmt.Sprint("pod-", i), Window: time.Minute}
		for j, name := range []string{"one", "two"} {
			use.Containers = append(use.Containers, ContainerUse{Name: name, Value: max(l[j], 0), Known: l[j] >= 0})
		}
		out = append(out, use)
	}
	return out
}

var usual = tolerance{defaultTolerance, defaultTolerance}

// TestUtilization holds the numbers of upstream's TestReplicaCalcResourceScale,
// TestReplicaCalcResourceTolerance and TestReplicaCalcResourceMissingMetrics.
func TestUtilization(t *testing.T) {
	mixed := []int64{900, 1000, 1100}
	for _, test := range []struct {
		name      string
		asked     int32
		states    string
		asks      []int64
		levels    [][2]int64
		container string
		tolerance tolerance
		target    int32
		want      int32
		percent   int32
		average   int64
	}{
		{"up", 3, "rrr", []int64{1000}, both(300, 500, 700), "", usual, 30, 5, 50, 1000},
		{"up, container", 3, "rrr", []int64{1000}, [][2]int64{{1000, 300}, {1000, 500}, {1000, 700}}, "two", usual, 30, 5, 50, 500},
		{"up less, unready", 3, "urr", []int64{1000}, both(300, 500, 700), "", usual, 30, 4, 60, 1200},
		{"up less, hot", 3, "hrr", []int64{1000}, both(300, 500, 700), "", usual, 30, 4, 60, 1200},
		{"up less, hot container", 3, "hrr", []int64{1000}, [][2]int64{{0, 300}, {0, 500}, {0, 700}}, "two", usual, 30, 4, 60, 600},
		{"unready ignored", 3, "ruu", []int64{1000}, both(400, 500, 700), "", usual, 30, 3, 40, 800},
		{"hot ignored", 3, "rxx", []int64{1000}, both(400, 500, 700), "", usual, 30, 3, 40, 800},
		{"up, failed", 2, "rrff", []int64{1000}, both(500, 700), "", usual, 30, 4, 60, 1200},
		{"up, failed without container", 2, "rrff", []int64{1000}, [][2]int64{{1000, 500}, {9000, 700}, {1000, -1}, {9000, -1}}, "two", usual, 30, 4, 60, 600},
		{"up, deleted", 2, "rrdd", []int64{1000}, both(500, 700), "", usual, 30, 4, 60, 1200},
		{"down", 5, "rrrrr", []int64{1000}, both(100, 300, 500, 250, 250), "", usual, 50, 3, 28, 560},
		{"down, container", 5, "rrrrr", []int64{1000}, [][2]int64{{1000, 100}, {1000, 300}, {1000, 500}, {1000, 250}, {1000, 250}}, "two", usual, 50, 3, 28, 280},
		{"down, unready", 5, "rrruu", []int64{1000}, both(100, 300, 500, 250, 250), "", usual, 50, 2, 30, 600},
		{"down, pending", 5, "rpppp", []int64{1000}, both(100), "", usual, 50, 1, 10, 200},
		{"down, hot", 5, "rrrhh", []int64{1000}, both(100, 300, 500, 250, 250), "", usual, 50, 2, 30, 600},
		{"down, failed", 5, "rrrrrff", []int64{1000}, both(100, 300, 500, 250, 250), "", usual, 50, 3, 28, 560},
		{"down, deleted", 5, "rrrrrdd", []int64{1000}, both(100, 300, 500, 250, 250), "", usual, 50, 3, 28, 560},

		{"tolerated", 3, "rrr", mixed, both(1010, 1030, 1020), "", usual, 100, 3, 102, 2040},
		{"no tolerance", 3, "rrr", mixed, both(909, 1010, 1111), "", tolerance{}, 100, 4, 101, 2020},
		{"much up tolerated", 3, "rrr", mixed, both(1890, 1910, 1900), "", tolerance{0.1, 2}, 100, 3, 190, 3800},
		{"up not tolerated", 3, "rrr", mixed, both(1100, 1080, 1090), "", tolerance{2, 0.08}, 100, 4, 109, 2180},
		{"down tolerated", 3, "rrr", mixed, both(660, 640, 650), "", tolerance{0.36, 0.1}, 100, 3, 65, 1300},
		{"down not tolerated", 3, "rrr", mixed, both(660, 640, 650), "", tolerance{0.34, 0.1}, 100, 2, 65, 1300},

		{"more samples than pods", 4, "rrrr", []int64{1000}, both(4000, 9500, 3000, 7000, 3200, 2000), "", usual, 100, 24, 587, 11750},
		{"some missing, down", 4, "rrrr", []int64{1000}, both(400, 95), "", usual, 100, 3, 24, 495},
		{"missing, equal", 2, "rr", []int64{1000}, both(1000), "", usual, 100, 2, 100, 2000},
		{"missing, above", 2, "rr", []int64{1000}, both(1900), "", usual, 100, 2, 190, 3800},
		{"missing, below", 2, "rr", []int64{1000}, both(600), "", usual, 100, 2, 60, 1200},
		{"missing and unready", 3, "urr", []int64{1000}, both(100, 450), "", usual, 50, 3, 45, 900},
		{"missing and hot", 3, "hrr", []int64{1000}, both(100, 450), "", usual, 50, 3, 45, 900},
		{"missing and unready, up", 3, "urr", []int64{1000}, both(100, 2000), "", usual, 50, 4, 200, 4000},
		{"missing and hot, up", 3, "xrr", []int64{1000}, both(100, 2000), "", usual, 50, 4, 200, 4000},
		{"missing and unready, down", 4, "urrr", []int64{1000}, both(100, 100, 100), "", usual, 50, 3, 10, 200},
		{"missing, target above all", 4, "urrr", []int64{1000, 1000, 2000}, both(200, 100, 100), "", usual, 300, 2, 6, 200},
		{"one more in a rollout", 2, "rrr", []int64{1000}, both(100, 100), "", usual, 50, 2, 10, 200},
	} {
		f := fleet{asked: test.asked, pods: crew(test.states, test.asks...), tolerance: test.tolerance, now: noon}
		n, seen, err := f.byUtilization(samples(usesOf(test.levels), test.container), test.target, corev1.ResourceCPU, test.container)
		if err != nil || n != test.want || seen.percent != test.percent || seen.average != test.average {
			t.Errorf("%s: %d pods at %d%%, %d each (%v); want %d at %d%%, %d", test.name, n, seen.percent, seen.average, err, test.want, test.percent, test.average)
		}
	}
}

func TestUtilizationErrors(t *testing.T) {
	stranger := []PodUse{{Pod: "older", Containers: []ContainerUse{{Name: "one", Value: 100, Known: true}}}}
	for _, test := range []struct {
		pods      []*corev1.Pod
		uses      []PodUse
		container string
		want      string
	}{
		{nil, usesOf(both(100)), "", "no pods returned by selector while calculating replica count"},
		{crew("u", 1000), usesOf(both(100)), "", "did not receive metrics for targeted pods (pods might be unready)"},
		{crew("r", 1000), stranger, "", "no metrics returned matched known pods"},
		{crew("r"), usesOf(both(100)), "", "missing request for cpu in container one of Pod pod-0"},
		{crew("rr", 1000), append(usesOf(both(100)), PodUse{Pod: "pod-1", Containers: []ContainerUse{{Name: "three", Known: true}}}), "three", "container three not found in Pod pod-0"},
	} {
		f := fleet{asked: 1, pods: test.pods, tolerance: usual, now: noon}
		_, _, err := f.byUtilization(samples(test.uses, test.container), 100, corev1.ResourceCPU, test.container)
		if fmt.Sprint(err) != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// TestAverage holds the numbers of upstream's TestReplicaCalcPodMetric.
func TestAverage(t *testing.T) {
	for _, test := range []struct {
		name    string
		asked   int32
		states  string
		levels  []int64
		up      float64
		target  int64
		want    int32
		average int64
	}{
		{"up", 3, "rrr", []int64{20000, 10000, 30000}, 0.1, 15000, 4, 20000},
		{"up, hot and unready count", 3, "rrx", []int64{50000, 10000, 30000}, 0.1, 15000, 6, 30000},
		{"not down for unready", 3, "xrx", []int64{50000, 15000, 30000}, 0.1, 15000, 7, 31666},
		{"down", 5, "rrrrr", []int64{12000, 12000, 12000, 12000, 12000}, 0.1, 20000, 3, 12000},
		{"tolerated", 3, "rrr", []int64{20000, 21000, 21000}, 0.1, 20000, 3, 20666},
		{"not tolerated", 3, "rrr", []int64{20000, 21000, 21000}, 0.01, 20000, 4, 20666},
		{"missing", 5, "rrrrr", []int64{20000, 19000, 21000}, 0.1, 20000, 5, 20000},
		{"one more in a rollout", 2, "rrr", []int64{10000, 10000}, 0.1, 17000, 2, 10000},
	} {
		have := map[string]Sample{}
		for i, n := range test.levels {
			have[fmt.Sprint("pod-", i)] = Sample{Value: n}
		}
		f := fleet{asked: test.asked, pods: crew(test.states), tolerance: tolerance{0.1, test.up}, now: noon}
		n, seen, err := f.byAverage(have, test.target, "")
		if err != nil || n != test.want || seen.average != test.average {
			t.Errorf("%s: %d pods, %d each (%v); want %d, %d", test.name, n, seen.average, err, test.want, test.average)
		}
	}
}

// TestValue holds the numbers of upstream's TestReplicaCalcObjectMetric and
// TestReplicaCalcExternalMetric.
func TestValue(t *testing.T) {
	for _, test := range []struct {
		name   string
		asked  int32
		states string
		series []int64
		up     float64
		target int64
		want   int32
	}{
		{"up", 3, "rrr", []int64{20000}, 0.1, 15000, 4},
		{"as many as can be", 3, "rrr", []int64{math.MaxInt64}, 0.1, 1, math.MaxInt32},
		{"up, unready", 3, "uru", []int64{50000}, 0.1, 10000, 5},
		{"down", 5, "rrrrr", []int64{12000}, 0.1, 20000, 3},
		{"tolerated", 3, "rrr", []int64{20666}, 0.1, 20000, 3},
		{"not tolerated", 3, "rrr", []int64{20666}, 0.01, 20000, 4},
		{"down, unready", 3, "uru", []int64{8600}, 0.1, 4400, 2},
		{"down, many", 5, "rrrrr", []int64{8000, 600}, 0.1, 14334, 3},
		{"sum too large", 3, "rrr", []int64{math.MaxInt64/2 + 1, math.MaxInt64/2 + 1}, 0.1, math.MaxInt64, 3},
		{"from zero", 0, "", []int64{25000}, 0.1, 10000, 3},
		{"stays at zero", 0, "", []int64{0}, 0.1, 10000, 0},
		{"to zero", 2, "rr", []int64{0}, 0.1, 10000, 0},
	} {
		f := fleet{asked: test.asked, pods: crew(test.states), tolerance: tolerance{0.1, test.up}, now: noon}
		if n, err := f.byValue(total(test.series), test.target); err != nil || n != test.want {
			t.Errorf("%s: %d pods (%v), want %d", test.name, n, err, test.want)
		}
	}
	f := fleet{asked: 1, tolerance: usual}
	if _, err := f.byValue(5, 1); fmt.Sprint(err) != "unable to calculate ready pods: no pods returned by selector while calculating replica count" {
		t.Errorf("without pods: %v", err)
	}
}

// TestShare holds the numbers of upstream's TestReplicaCalcObjectPerPodMetric and
// TestReplicaCalcExternalPerPodMetric.
func TestShare(t *testing.T) {
	for _, test := range []struct {
		there         int32
		value, target int64
		up            float64
		want          int32
		share         int64
	}{
		{3, 20000, 5000, 0.1, 4, 6667},
		{5, 6000, 2000, 0.1, 3, 1200},
		{4, 20166, 5000, 0.1, 4, 5042},
		{4, 20208, 5000, 0.01, 5, 5052},
		{3, 8600, 2150, 0.1, 4, 2867},
		{5, 8600, 2867, 0.1, 3, 1720},
		{3, 8600, 2900, 0.1, 3, 2867},
		{3, 8600, 2800, 0.01, 4, 2867},
		{1, math.MaxInt64, 1, 0.1, math.MaxInt32, math.MaxInt64},
		{1, math.MaxInt64, math.MaxInt64, 0.1, 1, math.MaxInt64},
		{0, 0, 1000, 0.1, 0, 0},
		{0, 2500, 1000, 0.1, 3, math.MaxInt64},
	} {
		n, share := fleet{there: test.there, tolerance: tolerance{0.1, test.up}}.byShare(test.value, test.target)
		if n != test.want || share != test.share {
			t.Errorf("%d of %d for %d: %d pods, %d each; want %d, %d", test.value, test.target, test.there, n, share, test.want, test.share)
		}
	}
}

// TestStarting holds the cases of upstream's TestGroupPods, with the default times.
func TestStarting(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(-d) }
	for _, test := range []struct {
		name           string
		started, since time.Duration // ago
		ready          corev1.ConditionStatus
		sample         Sample
		want           bool
	}{
		{"fresh sample early", time.Minute, 30 * time.Second, "True", Sample{At: noon, Window: 30 * time.Second}, false},
		{"old sample early", time.Minute, 30 * time.Second, "True", Sample{At: noon, Window: time.Minute}, true},
		{"unready early", time.Minute, 30 * time.Second, "False", Sample{At: noon, Window: time.Second}, true},
		{"never ready", 10 * time.Minute, 10*time.Minute - 6*time.Second, "False", Sample{}, true},
		{"old sample late", 6 * time.Minute, 6 * time.Minute, "True", Sample{At: at(5 * time.Minute), Window: time.Minute}, false},
		{"was ready", 10 * time.Minute, 9 * time.Minute, "False", Sample{}, false},
		{"no condition", time.Minute, 0, "", Sample{At: noon}, true},
	} {
		p := &corev1.Pod{Status: corev1.PodStatus{StartTime: &metav1.Time{Time: at(test.started)}}}
		if test.ready != "" {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: test.ready, LastTransitionTime: metav1.NewTime(at(test.since))}}
		}
		if got := starting(p, test.sample, noon); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestRequests holds the cases of upstream's TestCalculateRequests.
func TestRequests(t *testing.T) {
	cpu := func(s string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(s)}}
	}
	always := corev1.ContainerRestartPolicyAlways
	pod := crew("r", 100)[0]
	pod.Spec.InitContainers = []corev1.Container{{Name: "sidecar", Resources: cpu("50m"), RestartPolicy: &always}, {Name: "init", Resources: cpu("9")}}
	whole := pod.DeepCopy()
	whole.Spec.Resources = &corev1.ResourceRequirements{Requests: cpu("1500m").Requests}
	for _, test := range []struct {
		pod       *corev1.Pod
		container string
		want      int64
	}{{pod, "", 250}, {pod, "two", 100}, {pod, "sidecar", 50}, {whole, "", 1500}, {whole, "two", 100}} {
		if got, err := requestOf(test.pod, test.container, corev1.ResourceCPU); err != nil || got != test.want {
			t.Errorf("container %q: %d (%v), want %d", test.container, got, err, test.want)
		}
	}
}
