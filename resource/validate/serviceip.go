package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// ServiceIPs checks the addresses of a service and their families. The
// allocator of addresses calls it first, since it stands on them.
func ServiceIPs(s, old *corev1.Service) field.ErrorList {
	spec := &s.Spec
	if spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var p problems
	at := field.NewPath("spec", "clusterIPs")
	switch {
	case spec.ClusterIP == "" && len(spec.ClusterIPs) != 0:
		p.invalid(at, spec.ClusterIPs, "must be empty when `clusterIP` is not specified")
	case spec.ClusterIP != "" && len(spec.ClusterIPs) == 0:
		p.required(at, "")
	case spec.ClusterIP != "" && spec.ClusterIPs[0] != spec.ClusterIP:
		p.invalid(at, spec.ClusterIPs, "first value must match `clusterIP`")
	}
	ipFamilies(&p, spec)
	if !clusterIPs(&p, at, spec, old) {
		return p.list()
	}
	if len(spec.ClusterIPs) > 1 {
		if dual, err := netutils.IsDualStackIPStrings(spec.ClusterIPs); err != nil || !dual {
			p.invalid(at, spec.ClusterIPs, "may specify no more than one IP for each IP family")
		}
	}
	if headless(spec) {
		return p.list()
	}
	for i := range min(len(spec.ClusterIPs), len(spec.IPFamilies)) {
		value := spec.ClusterIPs[i]
		is6 := netutils.IsIPv6String(value)
		if want := spec.IPFamilies[i]; want == corev1.IPv4Protocol && is6 || want == corev1.IPv6Protocol && !is6 {
			p.invalid(at.Index(i), value, fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%v]`", want, i))
		}
	}
	return p.list()
}

func ipFamilies(p *problems, spec *corev1.ServiceSpec) {
	at := field.NewPath("spec")
	seen := sets.New[corev1.IPFamily]()
	for i, family := range spec.IPFamilies {
		path := at.Child("ipFamilies").Index(i)
		supportedOnly(p, path, family, corev1.IPv4Protocol, corev1.IPv6Protocol)
		if seen.Has(family) {
			p.add(field.Duplicate(path, family))
		}
		seen.Insert(family)
	}
	if policy := spec.IPFamilyPolicy; policy != nil {
		supportedOnly(p, at.Child("ipFamilyPolicy"), *policy, corev1.IPFamilyPolicySingleStack,
			corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack)
	}
}

// clusterIPs checks the addresses one by one, and says whether all are good.
func clusterIPs(p *problems, at *field.Path, spec *corev1.ServiceSpec, old *corev1.Service) bool {
	var had []string
	if old != nil {
		had = old.Spec.ClusterIPs
	}
	before := len(*p)
	for i, value := range spec.ClusterIPs {
		if i > 0 || value != corev1.ClusterIPNone {
			ip(p, at.Index(i), value, had)
		} else if len(spec.ClusterIPs) > 1 {
			p.invalid(at, spec.ClusterIPs, "'None' must be the first and only value")
		}
	}
	good := len(*p) == before
	if len(spec.ClusterIPs) > 2 {
		p.invalid(at, spec.ClusterIPs, "may only hold up to 2 values")
	}
	return good
}

const notOnceSet = "may not change once set"

// clusterIPsUpdate: the first address stays for ever, the second may come and go.
func clusterIPsUpdate(p *problems, at *field.Path, spec, old *corev1.ServiceSpec) {
	if headless(spec) && headless(old) {
		return
	}
	path := at.Child("clusterIPs")
	now, was := spec.ClusterIPs, old.ClusterIPs
	switch {
	case len(now) == len(was):
		for i := range was {
			if now[i] != was[i] {
				p.invalid(path.Index(i), now, notOnceSet)
			}
		}
		return
	case len(now) == 0:
		p.invalid(path.Index(0), now, "primary clusterIP can not be unset")
	case len(was) > 0 && now[0] != was[0]:
		p.invalid(path.Index(0), now, notOnceSet)
	}
	if len(now) == 1 && len(was) > 1 && !singleStack(spec) {
		p.invalid(at.Child("ipFamilyPolicy"), spec.IPFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary clusterIP")
	}
}

func familiesUpdate(p *problems, at *field.Path, spec, old *corev1.ServiceSpec) {
	if headless(spec) || headless(old) {
		return
	}
	path := at.Child("ipFamilies").Index(0)
	now, was := spec.IPFamilies, old.IPFamilies
	if len(now) == len(was) {
		for i := range was {
			if now[i] != was[i] {
				p.invalid(path, now, notOnceSet)
			}
		}
		return
	}
	if len(was) > len(now) && len(spec.ClusterIPs) == 0 {
		p.invalid(path, now, "primary ipFamily can not be unset")
	}
	if len(now) > 0 && len(was) > 0 && now[0] != was[0] {
		p.invalid(path, spec.ClusterIPs, notOnceSet)
	}
	if len(now) == 1 && len(was) > 1 && !singleStack(spec) {
		p.invalid(at.Child("ipFamilyPolicy"), spec.IPFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary ipFamily")
	}
}

func singleStack(spec *corev1.ServiceSpec) bool {
	return spec.IPFamilyPolicy != nil && *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
}

func isIP(value string) bool { return netutils.ParseIPSloppy(value) != nil }

// EndpointIP checks that an address can be that of an endpoint: not of this
// host, of this link, or of many.
func EndpointIP(path *field.Path, value string) field.ErrorList {
	var p problems
	addr := netutils.ParseIPSloppy(value)
	if addr == nil {
		p.invalid(path, value, "must be a valid IP address")
		return p.list()
	}
	if addr.IsUnspecified() {
		p.invalid(path, value, fmt.Sprintf("may not be unspecified (%v)", value))
	}
	if addr.IsLoopback() {
		p.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
	}
	if addr.IsLinkLocalUnicast() {
		p.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
	}
	if addr.IsLinkLocalMulticast() {
		p.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
	}
	return p.list()
}

// hasPrefixAny says whether s starts with one of prefixes.
func hasPrefixAny(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
