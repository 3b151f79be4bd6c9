// Package expression compiles and evaluates expressions in CEL, the language in
// which objects of the API state conditions (KEP-3488, KEP-3716): the environment
// that all of them share, and the variables of those about admission.
//
// The environment is made when the first expression comes: it takes some
// milliseconds, which a cluster without expressions does not pay.
package expression

import (
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/interpreter"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apicel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/library"
)

// base is upstream's environment, with the libraries and limits that it lets new
// expressions use: those of the release before (k8s.io/apiserver/pkg/cel/environment).
var base = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(append(language(), libraries()...)...)
})

func language() []cel.EnvOption {
	return []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true), // once here, and not with each expression
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		cel.CostEstimatorOptions(checker.PresenceTestHasCost(false)),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals(), cel.ValidateHomogeneousAggregateLiterals(),
		),
	}
}

func libraries() []cel.EnvOption {
	return []cel.EnvOption{
		library.URLs(), library.Regex(), library.Lists(library.ListsVersion(0)), library.Authz(), library.AuthzSelectors(),
		library.Quantity(), library.IP(), library.CIDR(), library.Format(), library.SemverLib(library.SemverVersion(1)),
		ext.Strings(ext.StringsVersion(2)), ext.Sets(), ext.TwoVarComprehensions(), ext.Lists(ext.ListsVersion(3)),
	}
}

// programOptions bound what one evaluation may cost.
func programOptions() []cel.ProgramOption {
	return []cel.ProgramOption{
		cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost),
		cel.CostLimit(celconfig.PerCallLimit),
		cel.CostTrackerOptions(interpreter.PresenceTestHasCost(false)),
		cel.CostTracking(&library.CostEstimator{}),
		cel.InterruptCheckFrequency(celconfig.CheckFrequency),
	}
}

// extend returns env with further variables, and the types that they need.
func extend(env *cel.Env, types []*apicel.DeclType, options ...cel.EnvOption) (*cel.Env, error) {
	provider := apicel.NewDeclTypeProvider(types...)
	provider.SetRecognizeKeywordAsFieldName(true)
	typed, err := provider.EnvOptions(env.CELTypeProvider())
	if err != nil {
		return nil, fmt.Errorf("add types to the CEL environment: %w", err)
	}
	if env, err = env.Extend(append(options, typed...)...); err != nil {
		return nil, fmt.Errorf("add variables to the CEL environment: %w", err)
	}
	return env, nil
}
