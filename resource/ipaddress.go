package resource

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// IPAddresses is the kind IPAddress, whose name is the address.
var IPAddresses = Define(Kind[*networkingv1.IPAddress]{
	Group: "networking.k8s.io", Version: "v1", Kind: "IPAddress", Resource: "ipaddresses", Short: []string{"ip"},
	Recheck: AsNewAndUpdate,
	Name: func(name string, _ bool) []string {
		var problems []string
		for _, err := range validation.IsValidIP(&field.Path{}, name) {
			problems = append(problems, err.Detail)
		}
		return problems
	},
	Validate: func(_ Request, a, old *networkingv1.IPAddress) field.ErrorList { return validate.IPAddress(a, old) },
	Columns: []Column[*networkingv1.IPAddress]{
		nameColumn[*networkingv1.IPAddress](),
		column("ParentRef", networkingv1.IPAddressSpec{}.SwaggerDoc()["parentRef"],
			func(a *networkingv1.IPAddress) any { return parentText(a.Spec.ParentRef) }),
		headless(ageColumn[*networkingv1.IPAddress]()),
	},
})

func parentText(ref *networkingv1.ParentReference) string {
	if ref == nil {
		return "<none>"
	}
	text := strings.ToLower(schema.GroupResource{Group: ref.Group, Resource: ref.Resource}.String())
	if ref.Namespace != "" {
		text += "/" + ref.Namespace
	}
	return text + "/" + ref.Name
}
