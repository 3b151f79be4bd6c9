package snapshot

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/view"
)

// Budgets are the PodDisruptionBudgets of the cluster.
type Budgets struct {
	byKey map[view.Key]*Budget
	turn  int
}

// Budget is a disruption budget, parsed.
type Budget struct {
	Object   *policyv1.PodDisruptionBudget
	Selector labels.Selector
}

func newBudgets() Budgets { return Budgets{byKey: map[view.Key]*Budget{}} }

// Set takes over a budget.
func (b *Budgets) Set(obj *policyv1.PodDisruptionBudget) {
	b.turn++
	b.byKey[view.KeyOf(obj)] = &Budget{obj, NewSelector(obj.Spec.Selector)}
}

// Remove forgets a budget.
func (b *Budgets) Remove(key view.Key) {
	b.turn++
	delete(b.byKey, key)
}

// Turn is another number after each change.
func (b *Budgets) Turn() int { return b.turn }

// All returns the budgets by key.
func (b *Budgets) All() map[view.Key]*Budget { return b.byKey }
