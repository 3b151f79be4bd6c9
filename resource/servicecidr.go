package resource

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ServiceCIDRs is the kind ServiceCIDR.
var ServiceCIDRs = Define(Kind[*networkingv1.ServiceCIDR]{
	Group: "networking.k8s.io", Version: "v1", Kind: "ServiceCIDR", Resource: "servicecidrs",
	Prepare: func(req Request, c, old *networkingv1.ServiceCIDR) {
		switch {
		case old == nil:
			c.Status = networkingv1.ServiceCIDRStatus{}
		case req.Subresource == "status":
			metav1.ResetObjectMetaForStatus(&c.ObjectMeta, &old.ObjectMeta)
		}
	},
	Validate: func(req Request, c, old *networkingv1.ServiceCIDR) field.ErrorList {
		if req.Subresource == "status" {
			return nil
		}
		return validate.ServiceCIDR(c, old)
	},
	Reset:  map[string][]string{"": {"status"}, "status": {"metadata", "spec"}},
	Status: func(to, from *networkingv1.ServiceCIDR) { to.Status = from.Status },
	Columns: []Column[*networkingv1.ServiceCIDR]{
		nameColumn[*networkingv1.ServiceCIDR](),
		column("CIDRs", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"],
			func(c *networkingv1.ServiceCIDR) any { return strings.Join(c.Spec.CIDRs, ",") }),
		ageColumn[*networkingv1.ServiceCIDR](),
	},
})
