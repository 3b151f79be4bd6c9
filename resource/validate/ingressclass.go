package validate

import (
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// IngressClass checks an ingress class. Its controller stays the same.
func IngressClass(c, old *networkingv1.IngressClass) field.ErrorList {
	var p problems
	const longest = 250
	at := field.NewPath("spec", "controller")
	if old != nil {
		p.add(Immutable(at, c.Spec.Controller, old.Spec.Controller)...)
	}
	if len(c.Spec.Controller) > longest {
		p.add(field.TooLong(at, "", longest))
	}
	p.add(validation.IsDomainPrefixedPath(at, c.Spec.Controller)...)
	if c.Spec.Parameters != nil {
		classParameters(&p, field.NewPath("spec", "parameters"), c.Spec.Parameters)
	}
	return p.list()
}

func classParameters(p *problems, at *field.Path, ref *networkingv1.IngressClassParametersReference) {
	if ref.APIGroup != nil {
		dnsSubdomain(p, at.Child("apiGroup"), *ref.APIGroup)
	}
	if p.needDeclared(at.Child("kind"), ref.Kind) {
		pathSegment(p, at.Child("kind"), ref.Kind)
	}
	if p.needDeclared(at.Child("name"), ref.Name) {
		pathSegment(p, at.Child("name"), ref.Name)
	}
	if ref.Scope == nil {
		p.required(at.Child("scope"), "")
		return
	}
	namespace := at.Child("namespace")
	switch *ref.Scope {
	case networkingv1.IngressClassParametersReferenceScopeNamespace:
		if ref.Namespace == nil {
			p.required(namespace, "`parameters.scope` is set to 'Namespace'")
		} else {
			p.invalids(namespace, *ref.Namespace, apivalidation.ValidateNamespaceName(*ref.Namespace, false))
		}
	case networkingv1.IngressClassParametersReferenceScopeCluster:
		if ref.Namespace != nil {
			p.forbidden(namespace, "`parameters.scope` is set to 'Cluster'")
		}
	default:
		supportedOnly(p, at.Child("scope"), *ref.Scope, networkingv1.IngressClassParametersReferenceScopeCluster,
			networkingv1.IngressClassParametersReferenceScopeNamespace)
	}
}
