package expression

import (
	"context"
	"math"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	apicel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/lazy"
)

const (
	overBudget = "validation failed due to running out of cost budget, no further validation rules will be run"
	noCost     = "runtime cost could not be calculated for expression: %v, no further expression will be run"
)

// Run evaluates expressions on one input within one budget. It belongs to one
// goroutine.
type Run struct {
	ctx    context.Context
	values activation
	budget int64
	lazy   int64 // what variables have cost since they were last paid for
}

// NewRun returns a run of expressions of the scope. The budget is in upstream's
// units of cost.
func (s *Scope) NewRun(ctx context.Context, in *Input, budget int64) *Run {
	r := &Run{ctx: ctx, values: in.activation(), budget: budget}
	if s.variables == nil {
		return r
	}
	all := lazy.NewMapValue(s.variables)
	for name, p := range s.programs {
		all.Append(name, func(*lazy.MapValue) ref.Val { return r.variable(name, p) })
	}
	r.values["variables"] = all
	return r
}

// Left is what is left of the budget.
func (r *Run) Left() int64 { return r.budget }

// Evaluate returns what an expression results in; err says why it has no result.
// After a fatal error nothing more may be evaluated.
func (r *Run) Evaluate(p *Program) (value ref.Val, err, fatal error) {
	if p.broken != nil {
		said := problem(apicel.ErrorTypeInvalid, "compilation error: %v", p.broken)
		said.Cause = p.broken
		return nil, said, nil
	}
	value, details, err := p.program.ContextEval(r.ctx, r.values)
	spent := r.lazy
	if r.lazy = 0; spent > r.budget {
		return nil, nil, exhausted(overBudget)
	}
	r.budget -= spent
	if details == nil {
		return nil, nil, problem(apicel.ErrorTypeInternal, noCost, p.text)
	}
	cost := details.ActualCost()
	switch {
	case cost == nil:
		return nil, nil, exhausted(noCost, p.text)
	case *cost > math.MaxInt64 || int64(*cost) > r.budget:
		return nil, nil, exhausted(overBudget)
	}
	r.budget -= int64(*cost)
	if err != nil {
		return nil, problem(apicel.ErrorTypeInvalid, "expression '%v' resulted in error: %v", p.text, err), nil
	}
	return value, nil, nil
}

func exhausted(format string, args ...any) error {
	err := problem(apicel.ErrorTypeInvalid, format, args...)
	err.Cause = apicel.ErrOutOfBudget
	return err
}

// variable evaluates one when the first expression asks for it.
func (r *Run) variable(name string, p *Program) ref.Val {
	if p.broken != nil {
		return types.NewErr("composited variable %q fails to compile: %v", name, p.broken)
	}
	value, details, err := p.program.ContextEval(r.ctx, r.values)
	if details == nil {
		return types.NewErr("unable to get evaluation details of variable %q", name)
	}
	cost := details.ActualCost()
	if cost == nil {
		return types.NewErr("unable to calculate cost of variable %q", name)
	}
	r.lazy += int64(min(*cost, math.MaxInt64/2))
	if err != nil {
		return types.NewErr("composited variable %q fails to evaluate: %v", name, err)
	}
	return value
}

// activation gives variables their values.
type activation map[string]any

// ResolveName implements interpreter.Activation.
func (a activation) ResolveName(name string) (any, bool) {
	value, ok := a[name]
	return value, ok
}

// Parent implements interpreter.Activation.
func (a activation) Parent() interpreter.Activation { return nil }

var _ cel.Activation = activation{}
