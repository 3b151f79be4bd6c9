// Package validate holds the rules that values in API objects keep, in the
// words of the Kubernetes API. Functions take the value and the path of its
// field, and return every problem. They are pure.
package validate

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// problems collects what is wrong.
type problems field.ErrorList

func (p *problems) add(errs ...*field.Error) { *p = append(*p, errs...) }

// list returns all problems, those of declarative rules after the others.
func (p *problems) list() field.ErrorList {
	slices.SortStableFunc(*p, func(a, b *field.Error) int {
		switch {
		case a.IsBeta() == b.IsBeta():
			return 0
		case b.IsBeta():
			return -1
		}
		return 1
	})
	return field.ErrorList(*p)
}

// declared adds problems that the API finds by the rules in its types (KEP-5073
// declarative validation). It looks at those last. They are marked as beta, as
// these rules are in 1.37.
func (p *problems) declared(errs ...*field.Error) {
	for _, err := range errs {
		p.add(err.MarkBeta())
	}
}

// needDeclared is need for a field whose type says that it is required.
func (p *problems) needDeclared(path *field.Path, value string) bool {
	if value == "" {
		p.declared(field.Required(path, ""))
	}
	return value != ""
}

func (p *problems) required(path *field.Path, detail string) { p.add(field.Required(path, detail)) }

func (p *problems) invalid(path *field.Path, value any, detail string) {
	p.add(field.Invalid(path, plain(value), detail))
}

func (p *problems) forbidden(path *field.Path, detail string) { p.add(field.Forbidden(path, detail)) }

// invalids adds one problem per message.
func (p *problems) invalids(path *field.Path, value any, messages []string) {
	for _, m := range messages {
		p.invalid(path, value, m)
	}
}

// need reports an empty string as missing, and says whether there is one.
func (p *problems) need(path *field.Path, value string) bool {
	if value == "" {
		p.required(path, "")
	}
	return value != ""
}

// oneOf reports values that are not supported; an empty one is missing.
func oneOf[T ~string](p *problems, path *field.Path, value T, supported ...T) {
	if value == "" {
		p.required(path, "")
		return
	}
	supportedOnly(p, path, value, supported...)
}

// supportedOnly reports values, the empty one too, that are not supported.
func supportedOnly[T ~string](p *problems, path *field.Path, value T, supported ...T) {
	if !slices.Contains(supported, value) {
		slices.Sort(supported)
		p.add(field.NotSupported(path, value, supported))
	}
}

// inOrder is oneOf for values that the API lists in an order of its own.
func inOrder[T ~string](p *problems, path *field.Path, value T, supported ...T) {
	switch {
	case value == "":
		p.required(path, "")
	case !slices.Contains(supported, value):
		p.add(field.NotSupported(path, value, supported))
	}
}

func notNegative[N int32 | int64](p *problems, path *field.Path, value N) {
	if value < 0 {
		p.add(field.Invalid(path, value, "must be greater than or equal to 0").WithOrigin("minimum"))
	}
}

func positive[N int32 | int64](p *problems, path *field.Path, value N) {
	if value <= 0 {
		p.invalid(path, value, "must be greater than zero")
	}
}

func dnsLabel(p *problems, path *field.Path, value string) {
	p.invalids(path, value, validation.IsDNS1123Label(value))
}

func dnsSubdomain(p *problems, path *field.Path, value string) {
	p.invalids(path, value, validation.IsDNS1123Subdomain(value))
}

func qualifiedName(p *problems, path *field.Path, value string) {
	p.invalids(path, value, validation.IsQualifiedName(value))
}

func portNumber(p *problems, path *field.Path, port int32) {
	p.invalids(path, port, validation.IsValidPortNum(int(port)))
}

// portNumberOrName checks a port that may be named.
func portNumberOrName(p *problems, path *field.Path, port intstr.IntOrString) {
	switch port.Type {
	case intstr.Int:
		p.invalids(path, port.IntValue(), validation.IsValidPortNum(port.IntValue()))
	case intstr.String:
		p.invalids(path, port.StrVal, validation.IsValidPortName(port.StrVal))
	default:
		p.add(field.InternalError(path, fmt.Errorf("unknown type: %v", port.Type)))
	}
}

// labelName checks a key of labels.
func labelName(p *problems, path *field.Path, value string) {
	p.add(metavalidation.ValidateLabelName(value, path)...)
}

// objectName checks a reference to an object whose name is a DNS subdomain.
func objectName(p *problems, path *field.Path, value string) {
	p.invalids(path, value, apivalidation.NameIsDNSSubdomain(value, false))
}

// ip checks an address in a field older than strict parsing; values that the
// object had before may stay.
func ip(p *problems, path *field.Path, value string, had []string) {
	p.add(validation.IsValidIPForLegacyField(path, value, true, had)...)
}

// Immutable reports a field that changed though it must not.
func Immutable(path *field.Path, value, old any) field.ErrorList {
	if equality.Semantic.DeepEqual(value, old) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, plain(value), "field is immutable").WithOrigin("immutable")}
}

// immutable is Immutable for a rule in a type, whose report does not show the
// value. It says whether the value stayed: if not, no other rule in the type looks
// at it.
func (p *problems) immutable(path *field.Path, value, old any) bool {
	if equality.Semantic.DeepEqual(value, old) {
		return true
	}
	p.declared(field.Invalid(path, nil, "field is immutable").WithOrigin("immutable"))
	return false
}

// byHand turns problems that were declared into ones that the API finds by hand:
// where it does not come to the rules in the type, those remain.
func (p problems) byHand() field.ErrorList {
	list := make(field.ErrorList, len(p))
	for i, err := range p {
		list[i] = &field.Error{Type: err.Type, Field: err.Field, BadValue: err.BadValue, Detail: err.Detail, Origin: err.Origin}
	}
	return list
}

// Labels checks a map of labels, such as a selector.
func Labels(path *field.Path, labels map[string]string) field.ErrorList {
	return metavalidation.ValidateLabels(labels, path)
}

// LabelSelector checks a label selector.
func LabelSelector(path *field.Path, s *metav1.LabelSelector) field.ErrorList {
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}
