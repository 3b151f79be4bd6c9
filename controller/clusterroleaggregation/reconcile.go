// Package clusterroleaggregation gives a cluster role with an aggregation rule
// the rules of the roles that its selectors find, so that admin, edit and view
// grow with what is installed.
package clusterroleaggregation

import (
	"math/rand/v2"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller of aggregated cluster roles.
func Controller() controller.Controller {
	return controller.Controller{
		Name:      "clusterrole-aggregation",
		For:       resource.ClusterRoles.Info,
		Reads:     []controller.Input{{Kind: resource.ClusterRoles.Info, Keys: aggregating}},
		Writes:    []controller.Output{{Kind: resource.ClusterRoles.Info, Verbs: []resource.Verb{resource.Update}}},
		Reconcile: reconcile,
	}
}

// aggregating names the roles that gather rules: any change of a role may be one
// of theirs.
func aggregating(v *view.View, obj resource.Object) []view.Key {
	if len(obj.GetLabels()) == 0 {
		return nil
	}
	var keys []view.Key
	for role := range view.List(v, resource.ClusterRoles, "") {
		if role.AggregationRule != nil {
			keys = append(keys, view.KeyOf(role))
		}
	}
	return keys
}

func reconcile(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	role, ok := view.Get(v, resource.ClusterRoles, "", key.Name)
	if !ok || role.AggregationRule == nil {
		return controller.Plan{}
	}
	rules := gather(v, role)
	if apiequality.Semantic.DeepEqual(rules, role.Rules) {
		return controller.Plan{}
	}
	next := role.DeepCopy()
	next.Rules = rules
	op := client.Update(resource.ClusterRoles, next)
	op.Cause = "the roles that cluster role " + role.Name + " aggregates have changed"
	return controller.Plan{Do: []client.Op{op}}
}

// gather returns the rules of the roles that the selectors find, by the roles'
// names, each once. A selector that cannot be read, which validation keeps out,
// finds nothing.
func gather(v *view.View, role *rbacv1.ClusterRole) []rbacv1.PolicyRule {
	rules := []rbacv1.PolicyRule{}
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			selector = labels.Nothing()
		}
		for from := range view.List(v, resource.ClusterRoles, "") {
			if from.Name == role.Name || !selector.Matches(labels.Set(from.Labels)) {
				continue
			}
			for _, rule := range from.Rules {
				if !slices.ContainsFunc(rules, func(have rbacv1.PolicyRule) bool { return apiequality.Semantic.DeepEqual(have, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules
}
