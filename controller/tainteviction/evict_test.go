package tainteviction

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// forever as tolerated is no toleration's end.
const forever = int64(-1)

func tolerating(seconds map[string]int64, age time.Duration) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", CreationTimestamp: ago(age)}}
	for key, s := range seconds {
		t := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}
		if s != forever {
			t.TolerationSeconds = &s
		}
		p.Spec.Tolerations = append(p.Spec.Tolerations, t)
	}
	return p
}

func tainted(ages map[string]time.Duration) []corev1.Taint {
	var taints []corev1.Taint
	for key, age := range ages {
		at := ago(age)
		taints = append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute, TimeAdded: &at})
	}
	return taints
}

func TestReconcile(t *testing.T) {
	x := map[string]time.Duration{"x": 10 * time.Second}
	both := map[string]time.Duration{"x": 10 * time.Second, "y": 10 * time.Second}
	for _, test := range []struct {
		name      string
		tolerates map[string]int64
		age       time.Duration
		taints    map[string]time.Duration
		want      string
	}{
		{"no taint", nil, time.Hour, nil, "stays"},
		{"not tolerated", nil, time.Hour, x, "goes"},
		{"one of two not tolerated", map[string]int64{"x": forever}, time.Hour, both, "goes"},
		{"tolerated", map[string]int64{"x": forever}, time.Hour, x, "stays"},
		{"tolerated for longer", map[string]int64{"x": 30}, time.Hour, x, "goes in 20s"},
		{"tolerated for less", map[string]int64{"x": 5}, time.Hour, x, "goes"},
		{"tolerated until now", map[string]int64{"x": 10}, time.Hour, x, "goes"},
		{"tolerated for no time", map[string]int64{"x": -5}, time.Second, x, "goes"},
		{"came after the taint", map[string]int64{"x": 15}, 2 * time.Second, x, "goes in 13s"},
		{"the shortest counts", map[string]int64{"x": 300, "y": 20}, time.Hour, both, "goes in 10s"},
		{"for centuries", map[string]int64{"x": 1<<63 - 1}, time.Hour, x, "stays"},
	} {
		plan := reconcile(tolerating(test.tolerates, test.age), tainted(test.taints), now)
		got := "stays"
		switch {
		case len(plan.Do) == 2 && len(plan.Events) == 1:
			got = "goes"
		case plan.Again > 0:
			got = fmt.Sprint("goes in ", plan.Again)
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestReconcileTaintOfUnknownAge(t *testing.T) {
	taints := []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectNoExecute}}
	if got := reconcile(tolerating(map[string]int64{"x": 30}, time.Hour), taints, now).Again; got != 30*time.Second {
		t.Errorf("asks again in %s, want the whole 30s", got)
	}
}
