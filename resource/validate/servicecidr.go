package validate

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// ServiceCIDR checks a range of service addresses. A second family may be
// added; nothing else changes.
func ServiceCIDR(c, old *networkingv1.ServiceCIDR) field.ErrorList {
	var p problems
	at := field.NewPath("spec", "cidrs")
	if old == nil {
		serviceRanges(&p, at, &c.Spec)
		return p.list()
	}
	now, was := c.Spec.CIDRs, old.Spec.CIDRs
	grows := len(was) == 1 && len(now) == 2
	if len(now) != len(was) && !grows {
		p.invalid(at, now, "field is immutable")
		return p.list()
	}
	for i := range was {
		if now[i] != was[i] {
			p.invalid(at.Index(i), now[i], "field is immutable")
		}
	}
	if grows {
		serviceRanges(&p, at, &c.Spec)
	}
	return p.list()
}

func serviceRanges(p *problems, at *field.Path, s *networkingv1.ServiceCIDRSpec) {
	switch {
	case len(s.CIDRs) == 0:
		p.required(at, "at least one CIDR required")
		return
	case len(s.CIDRs) > 2:
		p.invalid(at, s, "may only hold up to 2 values")
		return
	}
	for i, cidr := range s.CIDRs {
		p.add(validation.IsValidCIDR(at.Index(i), cidr)...)
	}
	if len(s.CIDRs) < 2 {
		return
	}
	first, second := netutils.IPFamilyOfCIDRString(s.CIDRs[0]), netutils.IPFamilyOfCIDRString(s.CIDRs[1])
	if first == second && first != netutils.IPFamilyUnknown {
		p.invalid(at, s.CIDRs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64")
	}
}

// IPAddress checks an address. What it belongs to stays the same.
func IPAddress(a, old *networkingv1.IPAddress) field.ErrorList {
	var p problems
	at := field.NewPath("spec", "parentRef")
	var found problems
	if ref := a.Spec.ParentRef; ref == nil {
		found.declared(field.Required(at, ""))
	} else {
		parentReference(&found, at, ref)
	}
	if old == nil {
		p.add(found...)
	} else {
		p.add(found.byHand()...)
		p.immutable(at, a.Spec.ParentRef, old.Spec.ParentRef)
	}
	return p.list()
}

// parentReference leaves the group alone where it is empty: that of services.
func parentReference(p *problems, at *field.Path, ref *networkingv1.ParentReference) {
	if ref.Group != "" {
		dnsSubdomain(p, at.Child("group"), ref.Group)
	}
	if p.needDeclared(at.Child("resource"), ref.Resource) {
		pathSegment(p, at.Child("resource"), ref.Resource)
	}
	if p.needDeclared(at.Child("name"), ref.Name) {
		pathSegment(p, at.Child("name"), ref.Name)
	}
	if ref.Namespace != "" {
		pathSegment(p, at.Child("namespace"), ref.Namespace)
	}
}
