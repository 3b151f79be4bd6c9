package resource

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// NetworkPolicies is the kind NetworkPolicy.
var NetworkPolicies = Define(Kind[*networkingv1.NetworkPolicy]{
	Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy", Resource: "networkpolicies",
	Short: []string{"netpol"}, Namespaced: true,
	Default: defaultNetworkPolicy,
	Validate: func(_ Request, p, old *networkingv1.NetworkPolicy) field.ErrorList {
		return validate.NetworkPolicy(p, old)
	},
	Warn: warnNetworkPolicy,
	Spec: func(p *networkingv1.NetworkPolicy) any { return &p.Spec },
	Columns: []Column[*networkingv1.NetworkPolicy]{
		nameColumn[*networkingv1.NetworkPolicy](),
		column("Pod-Selector", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"],
			func(p *networkingv1.NetworkPolicy) any { return metav1.FormatLabelSelector(&p.Spec.PodSelector) }),
		ageColumn[*networkingv1.NetworkPolicy](),
	},
})

// defaultNetworkPolicy: a policy is always about what comes in, unless it says
// otherwise; rules for what goes out say that it is about that too.
func defaultNetworkPolicy(p *networkingv1.NetworkPolicy) {
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for _, rule := range p.Spec.Ingress {
		defaultPolicyPorts(rule.Ports)
	}
	for _, rule := range p.Spec.Egress {
		defaultPolicyPorts(rule.Ports)
	}
}

func defaultPolicyPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		setIfNil(&ports[i].Protocol, corev1.ProtocolTCP)
	}
}

func warnNetworkPolicy(p, _ *networkingv1.NetworkPolicy) []string {
	var w []string
	peers := func(at *field.Path, list []networkingv1.NetworkPolicyPeer) {
		for i, peer := range list {
			if peer.IPBlock == nil {
				continue
			}
			path := at.Index(i).Child("ipBlock")
			w = append(w, validation.GetWarningsForCIDR(path.Child("cidr"), peer.IPBlock.CIDR)...)
			for j, except := range peer.IPBlock.Except {
				w = append(w, validation.GetWarningsForCIDR(path.Child("except").Index(j), except)...)
			}
		}
	}
	for i, rule := range p.Spec.Ingress {
		peers(field.NewPath("spec", "ingress").Index(i).Child("from"), rule.From)
	}
	for i, rule := range p.Spec.Egress {
		peers(field.NewPath("spec", "egress").Index(i).Child("to"), rule.To)
	}
	return w
}
