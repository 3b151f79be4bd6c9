package resource

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// families settles the families and the policy of a service (KEP-563). A
// service asks for one or two families; the order is that of its addresses.
func (a *allocator) families(svc, old *corev1.Service) field.ErrorList {
	spec := &svc.Spec
	if !usesClusterIP(spec) || prefersDualUnchanged(svc, old) {
		return nil
	}
	noSelector := spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0
	if spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		switch {
		case old != nil && old.Spec.IPFamilyPolicy != nil:
			policy = *old.Spec.IPFamilyPolicy
		case noSelector:
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
	if errs := validate.ServiceIPs(svc, old); len(errs) > 0 {
		return errs
	}
	errs := familyCounts(spec, old)
	errs = append(errs, a.familiesFromIPs(spec)...)
	if len(errs) > 0 {
		return errs
	}
	if !noSelector {
		if errs := a.familiesServed(spec); len(errs) > 0 {
			return errs
		}
	}
	if len(spec.IPFamilies) == 0 && len(a.IPs) > 0 {
		spec.IPFamilies = []corev1.IPFamily{familyOf(a.IPs[0].Addr())}
	}
	// Without a selector the user's own endpoints say which families there are.
	dual := noSelector || len(a.IPs) == 2
	if *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack && len(spec.IPFamilies) == 1 && dual {
		spec.IPFamilies = append(spec.IPFamilies, otherFamily(spec.IPFamilies[0]))
	}
	return nil
}

// familyCounts releases second values of a service that goes single stack, and
// refuses counts that do not fit the policy.
func familyCounts(spec *corev1.ServiceSpec, old *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	refuse := func(detail string) {
		errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), spec.IPFamilyPolicy, detail))
	}
	single := *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
	switch {
	case old == nil:
	case single:
		if len(spec.ClusterIPs) > 1 && slices.Equal(spec.ClusterIPs, old.Spec.ClusterIPs) {
			spec.ClusterIPs = spec.ClusterIPs[:1]
		}
		if len(spec.IPFamilies) > 1 && slices.Equal(spec.IPFamilies, old.Spec.IPFamilies) {
			spec.IPFamilies = spec.IPFamilies[:1]
		}
	default:
		if len(spec.ClusterIPs) > 0 && len(spec.ClusterIPs) < len(old.Spec.ClusterIPs) {
			refuse("must be 'SingleStack' to release the secondary cluster IP")
		}
		if len(spec.IPFamilies) > 0 && len(spec.IPFamilies) < len(old.Spec.IPFamilies) {
			refuse("must be 'SingleStack' to release the secondary IP family")
		}
	}
	if single && len(spec.ClusterIPs) == 2 {
		refuse("must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified")
	}
	if single && len(spec.IPFamilies) == 2 {
		refuse("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified")
	}
	return errs
}

// familiesFromIPs adds the families of addresses that the user chose.
func (a *allocator) familiesFromIPs(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	for i, value := range spec.ClusterIPs {
		if value == corev1.ClusterIPNone {
			break
		}
		ip, err := netip.ParseAddr(value)
		if err != nil || i < len(spec.IPFamilies) {
			continue
		}
		if family := familyOf(ip); a.rangeOf(family).IsValid() {
			spec.IPFamilies = append(spec.IPFamilies, family)
		} else {
			errs = append(errs, field.Invalid(field.NewPath("spec", "clusterIPs").Index(i), spec.ClusterIPs,
				fmt.Sprintf("%s is not configured on this cluster", family)))
		}
	}
	return errs
}

// familiesServed refuses families that the cluster has no addresses of.
func (a *allocator) familiesServed(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack && len(a.IPs) < 2 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), spec.IPFamilyPolicy,
			"this cluster is not configured for dual-stack services"))
	}
	for i, family := range spec.IPFamilies {
		if !a.rangeOf(family).IsValid() {
			errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilies").Index(i), family, "not configured on this cluster"))
		}
	}
	return errs
}

// prefersDualUnchanged says that an update changes nothing about families, so
// that a service does not become dual stack only because its cluster did.
func prefersDualUnchanged(svc, old *corev1.Service) bool {
	if old == nil || svc.Spec.IPFamilyPolicy == nil || old.Spec.Type != svc.Spec.Type {
		return false
	}
	const prefer = corev1.IPFamilyPolicyPreferDualStack
	return *svc.Spec.IPFamilyPolicy == prefer &&
		(old.Spec.IPFamilyPolicy == nil || *old.Spec.IPFamilyPolicy == prefer) &&
		slices.Equal(svc.Spec.ClusterIPs, old.Spec.ClusterIPs) &&
		slices.Equal(svc.Spec.IPFamilies, old.Spec.IPFamilies)
}
