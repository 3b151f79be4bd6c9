package resource

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// IngressClasses is the kind IngressClass.
var IngressClasses = Define(Kind[*networkingv1.IngressClass]{
	Group: "networking.k8s.io", Version: "v1", Kind: "IngressClass", Resource: "ingressclasses",
	Recheck: AsUpdateAndNew,
	Default: func(c *networkingv1.IngressClass) {
		if c.Spec.Parameters != nil {
			setIfNil(&c.Spec.Parameters.Scope, networkingv1.IngressClassParametersReferenceScopeCluster)
		}
	},
	Validate: func(_ Request, c, old *networkingv1.IngressClass) field.ErrorList {
		return validate.IngressClass(c, old)
	},
	Spec: func(c *networkingv1.IngressClass) any { return &c.Spec },
	Columns: []Column[*networkingv1.IngressClass]{
		defaultNameColumn[*networkingv1.IngressClass](networkingv1.AnnotationIsDefaultIngressClass),
		column("Controller", "Controller that is responsible for handling this class",
			func(c *networkingv1.IngressClass) any { return c.Spec.Controller }),
		column("Parameters", "A reference to a resource with additional parameters",
			func(c *networkingv1.IngressClass) any { return ingressClassParameters(c.Spec.Parameters) }),
		ageColumn[*networkingv1.IngressClass](),
	},
})

func ingressClassParameters(p *networkingv1.IngressClassParametersReference) string {
	if p == nil {
		return "<none>"
	}
	kind := p.Kind
	if p.APIGroup != nil {
		kind += "." + *p.APIGroup
	}
	return kind + "/" + p.Name
}
