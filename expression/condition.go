package expression

import (
	"context"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// CheckCondition returns what is wrong with a match condition, or nil.
func CheckCondition(path *field.Path, text string, params bool) *field.Error {
	return NewScope(false).Check(path, strings.TrimSpace(text), Knows{Params: params, Authorizer: true}, cel.BoolType)
}

// Conditions are compiled match conditions: all must hold (KEP-3716).
type Conditions struct {
	scope    *Scope
	programs []*Program
}

// CompileConditions compiles match conditions. What does not compile is an error
// of each request.
func CompileConditions(all []admissionregistrationv1.MatchCondition, params bool) *Conditions {
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = all[i].Expression
	}
	scope := NewScope(false)
	return &Conditions{scope, scope.CompileAll(texts, Knows{Params: params, Authorizer: true}, cel.BoolType)}
}

// None tells that there are no conditions.
func (c *Conditions) None() bool { return len(c.programs) == 0 }

// Match tells whether all conditions hold. One that does not counts more than
// errors of others.
func (c *Conditions) Match(ctx context.Context, in *Input) (bool, error) {
	if c.None() {
		return true, nil
	}
	run := c.scope.NewRun(ctx, in, celconfig.RuntimeCELCostBudgetMatchConditions)
	var errs []error
	failed := false
	for _, p := range c.programs {
		value, err, fatal := run.Evaluate(p)
		switch {
		case fatal != nil:
			return false, fatal
		case err != nil:
			errs = append(errs, err)
		case value == types.False:
			failed = true
		}
	}
	if failed {
		return false, nil
	}
	return len(errs) == 0, utilerrors.NewAggregate(errs)
}
