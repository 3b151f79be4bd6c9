// Package admission changes or refuses requests. Chain is the ordered list of
// its steps: the mutating halves run on the object as the user sent it, the
// validating ones after it was prepared and validated, before it is written.
//
// A step is a function of view and attributes, in a file of its own.
package admission

import (
	"context"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/view"
)

// Step is one check of the chain. Either half may be nil.
type Step struct {
	Name string // upstream's name of it
	On   []Match
	// Mutate may change a.Object.
	Mutate   Check
	Validate Check
}

// Check admits a request, or returns the API error that refuses it.
type Check func(ctx context.Context, v *view.View, a *Attributes) error

// Match selects requests.
type Match struct {
	Operations []admissionv1.Operation
	Resource   schema.GroupResource // empty: every resource
	// Subresources are those meant, "" for the object itself; nil: all of them.
	Subresources []string
}

func (m *Match) matches(a *Attributes) bool {
	return slices.Contains(m.Operations, a.Operation) &&
		(m.Resource.Resource == "" || m.Resource == a.Resource.GroupResource()) &&
		(m.Subresources == nil || slices.Contains(m.Subresources, a.Subresource))
}

func (s *Step) matches(a *Attributes) bool {
	return slices.ContainsFunc(s.On, func(m Match) bool { return m.matches(a) })
}

// Chain is the list of steps in order.
type Chain struct {
	steps []Step
	view  func() *view.View
	// observe is told how long each step took, and with no name all together.
	observe func(step, half, operation string, rejected bool, took time.Duration)
}

// Mutate runs the first half of every step that the request matches.
func (c *Chain) Mutate(ctx context.Context, a *Attributes) error {
	return c.run(ctx, a, "admit", func(s *Step) Check { return s.Mutate })
}

// Validate runs the second half of every step that the request matches.
func (c *Chain) Validate(ctx context.Context, a *Attributes) error {
	return c.run(ctx, a, "validate", func(s *Step) Check { return s.Validate })
}

func (c *Chain) run(ctx context.Context, a *Attributes, name string, half func(*Step) Check) error {
	began := time.Now()
	at := began
	var refusal error
	for i := range c.steps {
		s := &c.steps[i]
		check := half(s)
		if check == nil || !s.matches(a) {
			continue
		}
		refusal = check(ctx, c.view(), a)
		now := time.Now()
		c.observe(s.Name, name, string(a.Operation), refusal != nil, now.Sub(at))
		if at = now; refusal != nil {
			break
		}
	}
	c.observe("", name, string(a.Operation), refusal != nil, at.Sub(began))
	return refusal
}

// pure is the check of a function that needs nothing but the view.
func pure(f func(v *view.View, a *Attributes) error) Check {
	return func(_ context.Context, v *view.View, a *Attributes) error { return f(v, a) }
}

var (
	pods    = schema.GroupResource{Resource: "pods"}
	claims  = schema.GroupResource{Resource: "persistentvolumeclaims"}
	itself  = []string{""}
	all     = []admissionv1.Operation{admissionv1.Create, admissionv1.Update, admissionv1.Delete, admissionv1.Connect}
	writes  = []admissionv1.Operation{admissionv1.Create, admissionv1.Update}
	creates = []admissionv1.Operation{admissionv1.Create}
	updates = []admissionv1.Operation{admissionv1.Update}
)
