package resource

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ServiceRanges are what a cluster has to give to services.
type ServiceRanges struct {
	// IPs are the ranges of cluster IPs, at most one per family. The first one's
	// family is the default.
	IPs []netip.Prefix
	// FirstPort and LastPort bound the node ports, both inclusive.
	FirstPort, LastPort int32
}

// AllocateService gives svc what is allocated to services: cluster IPs and
// their families, node ports and the health check port. It runs before Prepare
// and Validate; old is nil on create, and what it has stays with it. The
// services may include old. Free values are picked with rnd.
//
// Problems of the user's making are in the list; the error says that a range
// is full. Nothing is reserved: releasing is not having, and of two concurrent
// allocations the store must let one win.
func AllocateService(svc, old *corev1.Service, services iter.Seq[*corev1.Service], ranges ServiceRanges, rnd *rand.Rand) (field.ErrorList, error) {
	a := &allocator{ServiceRanges: ranges, rnd: rnd, ips: map[netip.Addr]bool{}, ports: map[int32]bool{}}
	for s := range services {
		if s.Namespace != svc.Namespace || s.Name != svc.Name {
			a.take(&s.Spec)
		}
	}
	spec := &svc.Spec
	if old != nil {
		a.keep(spec, &old.Spec)
	}
	normalizeClusterIPs(spec, old)
	if errs := a.families(svc, old); len(errs) > 0 {
		return errs, nil
	}
	if errs, err := a.clusterIPs(svc, old); len(errs) > 0 || err != nil {
		return errs, err
	}
	return a.nodePorts(svc, old)
}

// allocator is one allocation: what there is, and what is taken.
type allocator struct {
	ServiceRanges
	rnd   *rand.Rand
	ips   map[netip.Addr]bool
	ports map[int32]bool
}

func (a *allocator) take(spec *corev1.ServiceSpec) {
	for _, ip := range spec.ClusterIPs {
		if addr, err := netip.ParseAddr(ip); err == nil {
			a.ips[addr] = true
		}
	}
	for _, p := range nodePorts(spec) {
		a.ports[p] = true
	}
	if spec.HealthCheckNodePort != 0 {
		a.ports[spec.HealthCheckNodePort] = true
	}
}

// keep carries over what the user left out of an update.
func (a *allocator) keep(spec, old *corev1.ServiceSpec) {
	if usesClusterIP(spec) && usesClusterIP(old) {
		setIfEmpty(&spec.ClusterIP, old.ClusterIP)
		if len(spec.ClusterIPs) == 0 {
			spec.ClusterIPs = slices.Clone(old.ClusterIPs)
		}
	}
	if wantsNodePorts(spec) && wantsNodePorts(old) {
		named := map[string]int32{}
		for _, p := range old.Ports {
			named[p.Name] = p.NodePort
		}
		explicit := nodePorts(spec)
		for i := range spec.Ports {
			if p := &spec.Ports[i]; p.NodePort == 0 && !slices.Contains(explicit, named[p.Name]) {
				p.NodePort = named[p.Name]
			}
		}
	}
	if usesHealthCheckPort(spec) && usesHealthCheckPort(old) {
		setIfEmpty(&spec.HealthCheckNodePort, old.HealthCheckNodePort)
	}
}

// normalizeClusterIPs keeps clusterIP and clusterIPs in step for clients that
// know only the former.
func normalizeClusterIPs(spec *corev1.ServiceSpec, old *corev1.Service) {
	switch {
	case old == nil:
		if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
			spec.ClusterIPs = []string{spec.ClusterIP}
		}
		return
	case spec.ClusterIP == old.Spec.ClusterIP:
		if len(spec.ClusterIPs) == 0 {
			spec.ClusterIPs = slices.Clone(old.Spec.ClusterIPs)
		}
	case !slices.Equal(spec.ClusterIPs, old.Spec.ClusterIPs):
	case spec.ClusterIP == "":
		spec.ClusterIPs = nil
	default:
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
}

func (a *allocator) clusterIPs(svc, old *corev1.Service) (field.ErrorList, error) {
	spec := &svc.Spec
	if !usesClusterIP(spec) || len(spec.ClusterIPs) > 0 && spec.ClusterIPs[0] == corev1.ClusterIPNone {
		return nil, nil
	}
	first := 0 // of the families that need an address
	if old != nil && usesClusterIP(&old.Spec) {
		if len(old.Spec.ClusterIPs) > 0 && old.Spec.ClusterIPs[0] == corev1.ClusterIPNone {
			return nil, nil
		}
		first = len(old.Spec.ClusterIPs)
	}
	at := field.NewPath("spec", "clusterIPs")
	for i := first; i < len(spec.IPFamilies); i++ {
		if i < len(spec.ClusterIPs) {
			if err := a.claimIP(spec.ClusterIPs[i]); err != nil {
				return field.ErrorList{field.Invalid(at, spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %v: %v", spec.ClusterIPs[i], err))}, nil
			}
			continue
		}
		ip, err := a.freeIP(a.rangeOf(spec.IPFamilies[i]))
		if err != nil {
			return nil, fmt.Errorf("failed to allocate a serviceIP for Service %q: %w", svc.Name, err)
		}
		spec.ClusterIPs = append(spec.ClusterIPs, ip.String())
	}
	if len(spec.ClusterIPs) > 0 {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	return nil, nil
}

// What the API says of values that cannot be had.
var (
	errRangeFull      = errors.New("range is full")
	errIPTaken        = errors.New("provided IP is already allocated")
	errForeignNetwork = errors.New("the provided network does not match the current range")
	errPortTaken      = errors.New("provided port is already allocated")
)

func (a *allocator) claimIP(value string) error {
	ip, err := netip.ParseAddr(value)
	if err != nil {
		return fmt.Errorf("parse service IP %q: %w", value, err)
	}
	for _, r := range a.IPs {
		if !r.Contains(ip) {
			continue
		}
		first, last := usable(r)
		if ip.Less(first) || last.Less(ip) {
			return fmt.Errorf("the provided IP (%v) is not in the valid range. The range of valid IPs is %s", ip, r)
		}
		if a.ips[ip] {
			return errIPTaken
		}
		a.ips[ip] = true
		return nil
	}
	return errForeignNetwork
}

func (a *allocator) rangeOf(family corev1.IPFamily) netip.Prefix {
	for _, r := range a.IPs {
		if familyOf(r.Addr()) == family {
			return r
		}
	}
	return netip.Prefix{}
}

// freeIP returns a free address. The lower part of the range is left to those
// who ask for a certain address, while there are others (KEP-3070).
func (a *allocator) freeIP(r netip.Prefix) (netip.Addr, error) {
	if !r.IsValid() {
		return netip.Addr{}, errRangeFull
	}
	first, last := usable(r)
	size := int64(1) << min(r.Addr().BitLen()-r.Bits(), 62)
	low := lowBand(size, 16, 256)
	count := uint64(max(size-1, 0)) // usable addresses; an IPv4 range loses its last one too
	if r.Addr().Is4() {
		count = uint64(max(size-2, 0))
	}
	for _, band := range [][2]uint64{{low, count}, {0, min(low, count)}} {
		if band[0] >= band[1] {
			continue
		}
		width := band[1] - band[0]
		start := a.rnd.Uint64N(width)
		for i := range width {
			ip := addOffset(first, band[0]+(start+i)%width)
			if !a.ips[ip] && !last.Less(ip) {
				a.ips[ip] = true
				return ip, nil
			}
		}
	}
	return netip.Addr{}, errRangeFull
}

// usable returns the first and the last address that services may have.
func usable(r netip.Prefix) (first, last netip.Addr) {
	first = r.Masked().Addr().Next()
	bytes := r.Masked().Addr().AsSlice()
	for bit := r.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ = netip.AddrFromSlice(bytes)
	if last.Is4() {
		last = last.Prev() // broadcast
	}
	return first, last
}

func addOffset(ip netip.Addr, offset uint64) netip.Addr {
	bytes := ip.AsSlice()
	for i := len(bytes) - 1; i >= 0 && offset > 0; i-- {
		offset += uint64(bytes[i])
		bytes[i] = byte(offset)
		offset >>= 8
	}
	sum, _ := netip.AddrFromSlice(bytes)
	return sum
}

// lowBand is how much of a range is left to explicit requests.
func lowBand(size int64, step, most int64) uint64 {
	const least = 16
	if size <= least {
		return 0
	}
	return uint64(min(max(least, size/step), most))
}

func familyOf(ip netip.Addr) corev1.IPFamily {
	if ip.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

func otherFamily(f corev1.IPFamily) corev1.IPFamily {
	if f == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}
