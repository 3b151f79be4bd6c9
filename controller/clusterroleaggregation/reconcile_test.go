package clusterroleaggregation

import (
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func role(name, label string, resources ...string) *rbacv1.ClusterRole {
	r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if label != "" {
		r.Labels = map[string]string{label: "true"}
	}
	for _, res := range resources {
		r.Rules = append(r.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Verbs: []string{"get"}, Resources: []string{res}})
	}
	return r
}

func sum(label string, resources ...string) *rbacv1.ClusterRole {
	r := role("sum", "", resources...)
	r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{label: "true"}}}}
	return r
}

func TestAggregates(t *testing.T) {
	for name, test := range map[string]struct {
		roles []*rbacv1.ClusterRole
		want  []string // resources of the new rules; nil: no change
	}{
		"gathers by name, each rule once": {
			[]*rbacv1.ClusterRole{role("b", "x", "pods", "secrets"), role("a", "x", "pods"), role("c", "y", "nodes"), sum("x")},
			[]string{"pods", "secrets"},
		},
		"takes back what is no longer there": {[]*rbacv1.ClusterRole{role("a", "x", "pods"), sum("x", "pods", "nodes")}, []string{"pods"}},
		"is content":                         {[]*rbacv1.ClusterRole{role("a", "x", "pods"), sum("x", "pods")}, nil},
		"finds none":                         {[]*rbacv1.ClusterRole{role("a", "y", "pods"), sum("x", "pods")}, []string{}},
		"an ordinary role stays":             {[]*rbacv1.ClusterRole{role("a", "x", "pods"), role("sum", "", "nodes")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			edit := (&view.View{}).Edit()
			for i, r := range test.roles {
				edit.Put(view.NewEntry(resource.ClusterRoles.Info, r, int64(i+1)))
			}
			plan := Controller().Reconcile(edit.View(9), view.Key{Name: "sum"}, time.Time{}, nil)
			if test.want == nil {
				if len(plan.Do) > 0 {
					t.Fatalf("plans %v, want nothing", plan.Do)
				}
				return
			}
			if len(plan.Do) != 1 {
				t.Fatalf("plans %v, want one update", plan.Do)
			}
			rules := plan.Do[0].Object.(*rbacv1.ClusterRole).Rules
			if len(rules) != len(test.want) {
				t.Fatalf("got %v, want %v", rules, test.want)
			}
			for i, rule := range rules {
				if rule.Resources[0] != test.want[i] {
					t.Errorf("rule %d is for %s, want %s", i, rule.Resources[0], test.want[i])
				}
			}
		})
	}
}
