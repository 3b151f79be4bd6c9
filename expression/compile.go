package expression

import (
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apicel "k8s.io/apiserver/pkg/cel"
)

// Program is a compiled expression.
type Program struct {
	text    string
	program cel.Program
	result  *cel.Type
	broken  error // why there is no program
}

// Compile checks an expression and that it results in one of the types. Errors
// are of type *apicel.Error, in upstream's words.
func (s *Scope) Compile(text string, k Knows, results ...*cel.Type) (*Program, error) {
	env, err := s.env(k)
	if err != nil {
		return nil, problem(apicel.ErrorTypeInternal, "unexpected error loading CEL environment: %v", err)
	}
	tree, issues := env.Compile(text)
	if issues != nil {
		return nil, &apicel.Error{
			Type: apicel.ErrorTypeInvalid, Detail: "compilation failed: " + issues.String(), Cause: apicel.NewCompilationError(issues)}
	}
	if have := tree.OutputType(); !allowed(have, results) {
		if len(results) == 1 {
			return nil, problem(apicel.ErrorTypeInvalid, "must evaluate to %v but got %v", results[0], have)
		}
		return nil, problem(apicel.ErrorTypeInvalid, "must evaluate to one of %v but got %v", results, have)
	}
	program, err := env.Program(tree, programOptions()...)
	if err != nil {
		return nil, problem(apicel.ErrorTypeInternal, "program instantiation failed: %v", err)
	}
	return &Program{text: text, program: program, result: tree.OutputType()}, nil
}

func allowed(have *cel.Type, results []*cel.Type) bool {
	for _, t := range results {
		if have.IsExactType(t) || cel.AnyType.IsExactType(t) {
			return true
		}
	}
	return false
}

func problem(kind apicel.ErrorType, format string, args ...any) *apicel.Error {
	return &apicel.Error{Type: kind, Detail: fmt.Sprintf(format, args...)}
}

// CompileAll compiles expressions that result in one of the types. One that does
// not compile says so when it is evaluated; an empty one is nil.
func (s *Scope) CompileAll(texts []string, k Knows, results ...*cel.Type) []*Program {
	all := make([]*Program, len(texts))
	for i, text := range texts {
		if text == "" {
			continue
		}
		var err error
		if all[i], err = s.Compile(text, k, results...); err != nil {
			all[i] = &Program{text: text, broken: err}
		}
	}
	return all
}

// Check compiles an expression to find out what is wrong with it, and words that
// as upstream's validation; nil is for nothing.
func (s *Scope) Check(path *field.Path, text string, k Knows, results ...*cel.Type) *field.Error {
	_, err := s.Compile(text, k, results...)
	return Wrong(path, text, err)
}

// Wrong is a field's error for what compiling its expression said.
func Wrong(path *field.Path, text string, err error) *field.Error {
	var said *apicel.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &said):
		return field.InternalError(path, fmt.Errorf("unsupported error type: %w", err))
	case said.Type == apicel.ErrorTypeInvalid:
		return field.Invalid(path, text, said.Detail)
	}
	return field.InternalError(path, said)
}
