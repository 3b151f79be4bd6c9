package expression

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/traits"
	apicel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/library"
)

// Knows says what an expression may use beside the request and its objects.
type Knows struct {
	Params     bool // the object that configures the policy
	Authorizer bool // what the user may do
}

// Scope is where the expressions of one object of the API are compiled: all see
// the variables that were added before them. It belongs to one goroutine while it
// compiles.
type Scope struct {
	variables *apicel.DeclType // nil where there are none to come
	programs  map[string]*Program
	envs      map[Knows]*cel.Env
}

// NewScope returns a scope. Only one that is composed has variables.
func NewScope(composed bool) *Scope {
	s := &Scope{envs: map[Knows]*cel.Env{}}
	if composed {
		s.variables = apicel.NewObjectType("kubernetes.variables", map[string]*apicel.DeclField{})
		s.programs = map[string]*Program{}
	}
	return s
}

func (s *Scope) env(k Knows) (*cel.Env, error) {
	if env := s.envs[k]; env != nil {
		return env, nil
	}
	env, err := s.newEnv(k)
	if err != nil {
		return nil, err
	}
	s.envs[k] = env
	return env, nil
}

func (s *Scope) newEnv(k Knows) (*cel.Env, error) {
	env, err := base()
	if err != nil {
		return nil, fmt.Errorf("make the CEL environment: %w", err)
	}
	request, namespace := requestType(), namespaceType()
	declared := []*apicel.DeclType{namespace, request}
	options := []cel.EnvOption{
		cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType),
		cel.Variable("namespaceObject", namespace.CelType()), cel.Variable("request", request.CelType()),
	}
	if s.variables != nil {
		declared = append(declared, s.variables)
		options = append(options, cel.Variable("variables", s.variables.CelType()))
	}
	if k.Params {
		options = append(options, cel.Variable("params", cel.DynType))
	}
	if k.Authorizer {
		options = append(options, cel.Variable("authorizer", library.AuthorizerType),
			cel.Variable("authorizer.requestResource", library.ResourceCheckType))
	}
	return extend(env, declared, options...)
}

// Variable compiles an expression that later ones know as variables.name.
func (s *Scope) Variable(name, text string, k Knows) error {
	p, err := s.Compile(text, k, cel.AnyType, cel.DynType)
	result := cel.DynType
	if err == nil {
		result = p.result
	} else {
		p = &Program{text: text, broken: err}
	}
	s.variables.Fields[name] = apicel.NewDeclField(name, declared(result), true, nil, nil)
	s.programs[name] = p
	return err
}

// declared is a type as fields have it. What cannot be said is anything.
func declared(t *cel.Type) *apicel.DeclType {
	for _, simple := range []*apicel.DeclType{
		apicel.AnyType, apicel.BoolType, apicel.BytesType, apicel.DoubleType, apicel.DurationType, apicel.IntType,
		apicel.NullType, apicel.StringType, apicel.TimestampType, apicel.UintType,
	} {
		if simple.CelType() == t {
			return simple
		}
	}
	if !t.HasTrait(traits.ContainerType) || !t.HasTrait(traits.IndexerType) {
		return apicel.DynType
	}
	switch of := t.Parameters(); len(of) {
	case 1:
		return apicel.NewListType(declared(of[0]), -1)
	case 2:
		return apicel.NewMapType(declared(of[0]), declared(of[1]), -1)
	}
	return apicel.DynType
}
