// Package endpointslice keeps the EndpointSlices of Services that select pods
// (KEP-752).
package endpointslice

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/endpoint"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	// managedBy marks the slices that are ours.
	managedBy = "endpointslice-controller.k8s.io"
	// perSlice is the most endpoints in one slice, as upstream's default.
	perSlice = 100
)

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "endpointslice",
		For:  resource.Services.Info,
		Reads: []controller.Input{
			{Kind: resource.Pods.Info, Keys: endpoint.ServicesOf},
			{Kind: resource.EndpointSlices.Info, Keys: endpoint.SlicesOf(managedBy)},
			{Kind: resource.Nodes.Info}, // for the zone; it does not change
		},
		Writes: []controller.Output{
			{Kind: resource.EndpointSlices.Info, Verbs: []resource.Verb{resource.Create, resource.Update, resource.Delete}},
		},
		Reconcile: reconcile,
	}
}

func reconcile(v *view.View, key view.Key, _ time.Time, rnd *rand.Rand) controller.Plan {
	svc, ok := view.Get(v, resource.Services, key.Namespace, key.Name)
	if !ok || !endpoint.Wanted(svc) || svc.DeletionTimestamp != nil {
		// The garbage collector removes the slices of a Service that is gone.
		return controller.Plan{}
	}
	existing := slicesOf(v, key)
	p := planner{svc: svc, rnd: rnd}
	if len(existing) == 0 {
		p.trigger = svc.CreationTimestamp.Time
	}
	for _, family := range families(svc) {
		p.family(family, desired(v, svc, family), existing[family])
		delete(existing, family)
	}
	for _, leftover := range sortedFamilies(existing) {
		p.remove(existing[leftover])
	}
	return p.plan()
}

// slicesOf returns our slices of a Service by address type, in order of name.
func slicesOf(v *view.View, key view.Key) map[discoveryv1.AddressType][]*discoveryv1.EndpointSlice {
	found := map[discoveryv1.AddressType][]*discoveryv1.EndpointSlice{}
	for s := range view.By(v, resource.EndpointSlices, resource.EndpointSliceServiceIndex, key.String()) {
		if s.Labels[discoveryv1.LabelManagedBy] == managedBy && s.DeletionTimestamp == nil {
			found[s.AddressType] = append(found[s.AddressType], s)
		}
	}
	return found
}

func sortedFamilies(m map[discoveryv1.AddressType][]*discoveryv1.EndpointSlice) []discoveryv1.AddressType {
	var types []discoveryv1.AddressType
	for t := range m {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// families returns the address types of a Service.
func families(svc *corev1.Service) []discoveryv1.AddressType {
	var types []discoveryv1.AddressType
	for _, family := range svc.Spec.IPFamilies {
		types = append(types, discoveryv1.AddressType(family))
	}
	if len(types) > 0 {
		return types
	}
	if addr, err := netip.ParseAddr(svc.Spec.ClusterIP); err == nil && addr.Is6() {
		return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv6}
	}
	return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4}
}

// group is the endpoints that have the same ports: what slices are made of.
type group struct {
	ports     []endpoint.Port
	endpoints []discoveryv1.Endpoint // in order of pods
	since     map[string]time.Time   // when a pod became ready or not, by identity
}

// desired returns the groups that there shall be, in order of first pod.
func desired(v *view.View, svc *corev1.Service, family discoveryv1.AddressType) []*group {
	var groups []*group
	for p := range endpoint.Pods(v, svc) {
		addresses := addressesOf(p, family)
		if len(addresses) == 0 {
			continue
		}
		ports := endpoint.Ports(svc, p)
		if len(ports) == 0 && !(len(svc.Spec.Ports) == 0 && endpoint.Headless(svc)) {
			continue // none of the Service's ports is there
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return slices.Equal(g.ports, ports) })
		if i < 0 {
			i, groups = len(groups), append(groups, &group{ports: ports, since: map[string]time.Time{}})
		}
		ep := endpointOf(v, svc, p, addresses)
		groups[i].endpoints = append(groups[i].endpoints, ep)
		if c := resource.PodCondition(p, corev1.PodReady); c != nil {
			groups[i].since[identity(ep)] = c.LastTransitionTime.Time
		}
	}
	return groups
}

func addressesOf(p *corev1.Pod, family discoveryv1.AddressType) []string {
	var addresses []string
	add := func(ip string) {
		if isIPv6(ip) == (family == discoveryv1.AddressTypeIPv6) {
			addresses = append(addresses, ip)
		}
	}
	for _, ip := range p.Status.PodIPs {
		add(ip.IP)
	}
	if len(p.Status.PodIPs) == 0 {
		add(p.Status.PodIP)
	}
	return addresses
}

func isIPv6(ip string) bool { return strings.Contains(ip, ":") }

// endpointOf describes a pod. Ready is what to send new connections to: a pod
// that is going serves on, but is not ready (KEP-1672).
func endpointOf(v *view.View, svc *corev1.Service, p *corev1.Pod, addresses []string) discoveryv1.Endpoint {
	serving, terminating := resource.PodReady(p), p.DeletionTimestamp != nil
	ep := discoveryv1.Endpoint{
		Addresses: addresses,
		Conditions: discoveryv1.EndpointConditions{
			Ready:       ptr.To(svc.Spec.PublishNotReadyAddresses || serving && !terminating),
			Serving:     ptr.To(serving),
			Terminating: ptr.To(terminating),
		},
		TargetRef: endpoint.Reference(p),
	}
	if p.Spec.NodeName != "" {
		ep.NodeName = ptr.To(p.Spec.NodeName)
		if node, ok := view.Get(v, resource.Nodes, "", p.Spec.NodeName); ok && node.Labels[corev1.LabelTopologyZone] != "" {
			ep.Zone = ptr.To(node.Labels[corev1.LabelTopologyZone])
		}
	}
	if hostname := endpoint.Hostname(svc, p); hostname != "" {
		ep.Hostname = ptr.To(hostname)
	}
	if *ep.Conditions.Ready {
		ep.Hints = hints(svc, ep)
	}
	return ep
}

// hints says from where an endpoint is to be used, as the Service's
// trafficDistribution wants it (KEP-4444, KEP-3015).
func hints(svc *corev1.Service, ep discoveryv1.Endpoint) *discoveryv1.EndpointHints {
	var h discoveryv1.EndpointHints
	switch ptr.Deref(svc.Spec.TrafficDistribution, "") {
	case corev1.ServiceTrafficDistributionPreferSameNode:
		if ep.NodeName != nil {
			h.ForNodes = []discoveryv1.ForNode{{Name: *ep.NodeName}}
		}
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone:
	default:
		return nil
	}
	if ep.Zone != nil {
		h.ForZones = []discoveryv1.ForZone{{Name: *ep.Zone}}
	}
	if h.ForNodes == nil && h.ForZones == nil {
		return nil
	}
	return &h
}
