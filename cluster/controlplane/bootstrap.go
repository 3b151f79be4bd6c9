package controlplane

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/clusterdns"
)

// Initial is what every cluster has, the components' permissions among it. dns
// is the resolver's cluster address.
func Initial(all []controller.Controller, dns netip.Addr) apiserver.Initial {
	defaults := authz.UpstreamDefaults()
	permit(defaults, all)
	return apiserver.Initial{Defaults: defaults, Services: []*corev1.Service{dnsService(dns)}}
}

// dnsService is what pods have as their resolver. Its endpoints come from the
// controller clusterdns.
func dnsService(address netip.Addr) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: clusterdns.Service, Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: address.String(), ClusterIPs: []string{address.String()}, Ports: clusterdns.Ports(),
			InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyLocal),
		},
	}
}
