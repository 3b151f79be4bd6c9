package resource

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Ingresses is the kind Ingress.
var Ingresses = Define(Kind[*networkingv1.Ingress]{
	Group: "networking.k8s.io", Version: "v1", Kind: "Ingress", Resource: "ingresses", Prefix: "ingress",
	Short: []string{"ing"}, Namespaced: true,
	Prepare: func(_ Request, i, old *networkingv1.Ingress) {
		if old == nil {
			i.Status = networkingv1.IngressStatus{}
		}
	},
	Validate: func(req Request, i, old *networkingv1.Ingress) field.ErrorList {
		if req.Subresource == "status" {
			return validate.IngressStatus(i, old)
		}
		return validate.Ingress(i, old)
	},
	Warn:    warnIngress,
	Spec:    func(i *networkingv1.Ingress) any { return &i.Spec },
	Status:  func(to, from *networkingv1.Ingress) { to.Status = from.Status },
	Columns: ingressColumns,
})

// ingressClassAnnotation is how an ingress named its class before it had a
// field for it.
const ingressClassAnnotation = "kubernetes.io/ingress.class"

var ingressColumns = []Column[*networkingv1.Ingress]{
	nameColumn[*networkingv1.Ingress](),
	column("Class", "The name of the IngressClass resource that should be used for additional configuration",
		func(i *networkingv1.Ingress) any { return derefOr(i.Spec.IngressClassName, "<none>") }),
	column("Hosts", "Hosts that incoming requests are matched against before the ingress rule",
		func(i *networkingv1.Ingress) any { return ingressHosts(i.Spec.Rules) }),
	column("Address", "Address is a list containing ingress points for the load-balancer",
		func(i *networkingv1.Ingress) any { return ingressAddresses(&i.Status.LoadBalancer) }),
	column("Ports", "Ports of TLS configurations that open", func(i *networkingv1.Ingress) any {
		if len(i.Spec.TLS) > 0 {
			return "80, 443"
		}
		return "80"
	}),
	ageColumn[*networkingv1.Ingress](),
}

// ingressHosts writes the first three hosts, and how many rules there are
// beyond three if another follows the third host.
func ingressHosts(rules []networkingv1.IngressRule) string {
	const shown = 3
	var hosts []string
	more := false
	for _, rule := range rules {
		more = more || len(hosts) == shown
		if !more && rule.Host != "" {
			hosts = append(hosts, rule.Host)
		}
	}
	switch text := strings.Join(hosts, ","); {
	case text == "":
		return "*"
	case more:
		return fmt.Sprintf("%s + %d more...", text, len(rules)-shown)
	default:
		return text
	}
}

func ingressAddresses(s *networkingv1.IngressLoadBalancerStatus) string {
	var all []string
	for _, in := range s.Ingress {
		if address := cmp.Or(in.IP, in.Hostname); address != "" {
			all = append(all, address)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}

// warnIngress warns of the annotation on create only, and of addresses where
// they are written: in the status.
func warnIngress(i, old *networkingv1.Ingress) []string {
	if old == nil {
		if _, ok := i.Annotations[ingressClassAnnotation]; ok && i.Spec.IngressClassName == nil {
			return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", ingressClassAnnotation)}
		}
		return nil
	}
	if equality.Semantic.DeepEqual(i.Status, old.Status) {
		return nil
	}
	var w []string
	for n, in := range i.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			w = append(w, validation.GetWarningsForIP(field.NewPath("status", "loadBalancer", "ingress").Index(n), in.IP)...)
		}
	}
	return w
}
