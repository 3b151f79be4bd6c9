// Package clusterdns leads the cluster's DNS service to the DNS server of each
// node: pods ask the one on their own node.
package clusterdns

import (
	"math/rand/v2"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Service is the name of the DNS service in kube-system, as everywhere.
const Service = "kube-dns"

// Ports are those of the service and of every node's server.
func Ports() []corev1.ServicePort {
	return []corev1.ServicePort{
		{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53},
		{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: 53},
	}
}

// Controller keeps one endpoint slice per node. The slice goes with its node.
func Controller() controller.Controller {
	return controller.Controller{
		Name:  "cluster-dns",
		For:   resource.Nodes.Info,
		Reads: []controller.Input{{Kind: resource.EndpointSlices.Info, Keys: nodeOf}},
		Writes: []controller.Output{
			{Kind: resource.EndpointSlices.Info, Verbs: []resource.Verb{resource.Create, resource.Update}},
		},
		Reconcile: reconcile,
	}
}

func sliceName(node string) string { return Service + "-" + node }

// nodeOf is the node that a slice of the service is for.
func nodeOf(_ *view.View, obj resource.Object) []view.Key {
	slice := obj.(*discoveryv1.EndpointSlice)
	if slice.Namespace != metav1.NamespaceSystem || slice.Labels[discoveryv1.LabelServiceName] != Service {
		return nil
	}
	for _, owner := range slice.OwnerReferences {
		if owner.Kind == "Node" {
			return []view.Key{{Name: owner.Name}}
		}
	}
	return nil
}

func reconcile(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	node, ok := view.Get(v, resource.Nodes, "", key.Name)
	if !ok {
		return controller.Plan{}
	}
	pods, err := netip.ParsePrefix(node.Spec.PodCIDR)
	if err != nil {
		return controller.Plan{} // the node has no pods' addresses, and so no bridge
	}
	want := slice(node, pods.Masked().Addr().Next())
	have, ok := view.Get(v, resource.EndpointSlices, want.Namespace, want.Name)
	if !ok {
		return controller.Plan{Do: []client.Op{client.Create(resource.EndpointSlices, want)}}
	}
	if apiequality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) && apiequality.Semantic.DeepEqual(have.Ports, want.Ports) {
		return controller.Plan{}
	}
	next := have.DeepCopy()
	next.Endpoints, next.Ports = want.Endpoints, want.Ports
	return controller.Plan{Do: []client.Op{client.Update(resource.EndpointSlices, next)}}
}

func slice(node *corev1.Node, server netip.Addr) *discoveryv1.EndpointSlice {
	family := discoveryv1.AddressTypeIPv4
	if server.Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: sliceName(node.Name), Namespace: metav1.NamespaceSystem,
			Labels:          map[string]string{discoveryv1.LabelServiceName: Service, discoveryv1.LabelManagedBy: "skiff"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}},
		},
		AddressType: family,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{server.String()}, NodeName: &node.Name,
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)},
		}},
	}
	for _, p := range Ports() {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: ptr.To(p.Name), Port: ptr.To(p.Port), Protocol: ptr.To(p.Protocol)})
	}
	return s
}
