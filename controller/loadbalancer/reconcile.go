// Package loadbalancer gives Services of type LoadBalancer the addresses of the
// cluster's nodes, on which every node's service proxy takes their traffic in. It
// is the balancer of clusters that have none: a Service with a
// spec.loadBalancerClass is another's.
package loadbalancer

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller returns the controller. It acts as upstream's for the balancers of
// clouds.
func Controller() controller.Controller {
	return controller.Controller{
		Name:  "service",
		For:   resource.Services.Info,
		Wants: func(obj resource.Object) bool { return ours(obj.(*corev1.Service)) },
		Reads: []controller.Input{
			{Kind: resource.Services.Info, Keys: rivals},
			{Kind: resource.Nodes.Info, Keys: all},
			{Kind: resource.EndpointSlices.Info, Keys: serviceOf},
		},
		Writes:    []controller.Output{{Kind: resource.Services.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}}},
		Reconcile: reconcile,
	}
}

func ours(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.LoadBalancerClass == nil
}

// rivals are the other Services that a change of one may free a port for.
func rivals(v *view.View, obj resource.Object) []view.Key {
	svc := obj.(*corev1.Service)
	if !ours(svc) {
		return nil
	}
	var keys []view.Key
	for s := range view.List(v, resource.Services, "") {
		if ours(s) && shared(s, svc) != nil {
			keys = append(keys, view.KeyOf(s))
		}
	}
	return keys
}

func all(v *view.View, _ resource.Object) []view.Key {
	var keys []view.Key
	for s := range view.List(v, resource.Services, "") {
		if ours(s) {
			keys = append(keys, view.KeyOf(s))
		}
	}
	return keys
}

// serviceOf: where a Service has endpoints is of concern to those that keep to them.
func serviceOf(v *view.View, obj resource.Object) []view.Key {
	name := obj.GetLabels()[discoveryv1.LabelServiceName]
	if s, ok := view.Get(v, resource.Services, obj.GetNamespace(), name); ok && ours(s) && keepsLocal(s) {
		return []view.Key{view.KeyOf(s)}
	}
	return nil
}

func keepsLocal(s *corev1.Service) bool {
	return s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func reconcile(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	svc, ok := view.Get(v, resource.Services, key.Namespace, key.Name)
	if !ok || !ours(svc) || svc.DeletionTimestamp != nil {
		return controller.Plan{}
	}
	var plan controller.Plan
	var ingress []corev1.LoadBalancerIngress
	if taken := obstacle(v, svc); taken == "" {
		ingress = addresses(v, svc)
	} else {
		plan.Events = []controller.Note{{Note: event.Note{
			About: svc, Kind: resource.Services.Info, Warning: true, Reason: "SyncLoadBalancerFailed", Message: "Error syncing load balancer: " + taken,
		}}}
	}
	if apiequality.Semantic.DeepEqual(ingress, svc.Status.LoadBalancer.Ingress) {
		return plan
	}
	next := svc.DeepCopy()
	next.Status.LoadBalancer.Ingress = ingress
	plan.Do = []client.Op{client.UpdateStatus(resource.Services, next)}
	return plan
}

// obstacle says why a Service cannot have its ports on the nodes: another one
// has them, or the node itself needs them.
func obstacle(v *view.View, svc *corev1.Service) string {
	for n := range view.List(v, resource.Nodes, "") {
		if kubelet := n.Status.DaemonEndpoints.KubeletEndpoint.Port; wants(svc, corev1.ProtocolTCP, kubelet) {
			return fmt.Sprintf("port %d is the node agent's on node %s", kubelet, n.Name)
		}
	}
	if s, ok := view.Get(v, resource.EndpointSlices, "default", "kubernetes"); ok {
		for _, p := range s.Ports {
			if wants(svc, corev1.ProtocolTCP, ptr.Deref(p.Port, 0)) {
				return fmt.Sprintf("port %d is the API server's", *p.Port)
			}
		}
	}
	for s := range view.List(v, resource.Services, "") {
		if port := shared(s, svc); port != nil && ours(s) && before(s, svc) {
			return fmt.Sprintf("port %d/%s is taken by service %s", port.Port, port.Protocol, view.KeyOf(s))
		}
	}
	return ""
}

func wants(svc *corev1.Service, protocol corev1.Protocol, port int32) bool {
	return slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port && p.Protocol == protocol })
}

// shared is a port that both Services want, if they are two.
func shared(a, b *corev1.Service) *corev1.ServicePort {
	if view.KeyOf(a) == view.KeyOf(b) {
		return nil
	}
	for i, p := range a.Spec.Ports {
		if wants(b, p.Protocol, p.Port) {
			return &a.Spec.Ports[i]
		}
	}
	return nil
}

// before orders Services by age: the first to come has the port, whichever
// order they are looked at in.
func before(a, b *corev1.Service) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(view.KeyOf(a).String(), view.KeyOf(b).String())) < 0
}

// addresses are those of the nodes that take the Service's traffic in, sorted:
// with policy Local, nodes that have endpoints.
func addresses(v *view.View, svc *corev1.Service) []corev1.LoadBalancerIngress {
	var local map[string]bool
	if keepsLocal(svc) {
		local = nodesOf(v, svc)
	}
	var ips []netip.Addr
	for n := range view.List(v, resource.Nodes, "") {
		if usable(n) && (local == nil || local[n.Name]) {
			ips = append(ips, nodeAddresses(n, svc.Spec.IPFamilies)...)
		}
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	var out []corev1.LoadBalancerIngress
	for _, ip := range slices.Compact(ips) {
		out = append(out, corev1.LoadBalancerIngress{IP: ip.String(), IPMode: ptr.To(corev1.LoadBalancerIPModeVIP)})
	}
	return out
}

// usable nodes are ready and not excluded by label (KEP-1143).
func usable(n *corev1.Node) bool {
	if _, excluded := n.Labels[corev1.LabelNodeExcludeBalancers]; excluded || n.DeletionTimestamp != nil {
		return false
	}
	return resource.NodeReady(n)
}

// nodesOf are the nodes where the Service has ready endpoints.
func nodesOf(v *view.View, svc *corev1.Service) map[string]bool {
	out := map[string]bool{}
	for s := range view.List(v, resource.EndpointSlices, svc.Namespace) {
		if s.Labels[discoveryv1.LabelServiceName] != svc.Name {
			continue
		}
		for _, e := range s.Endpoints {
			if e.NodeName != nil && ptr.Deref(e.Conditions.Ready, true) {
				out[*e.NodeName] = true
			}
		}
	}
	return out
}

// nodeAddresses are a node's addresses of the families: what it is known by
// outside or, without that, inside.
func nodeAddresses(n *corev1.Node, families []corev1.IPFamily) []netip.Addr {
	var out []netip.Addr
	for _, family := range families {
		for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
			i := slices.IndexFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool {
				ip, err := netip.ParseAddr(a.Address)
				return err == nil && a.Type == kind && ip.Is6() == (family == corev1.IPv6Protocol)
			})
			if i >= 0 {
				out = append(out, netip.MustParseAddr(n.Status.Addresses[i].Address))
				break
			}
		}
	}
	return out
}
