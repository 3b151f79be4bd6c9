// Package health answers load balancers that ask a node whether it has endpoints
// of a service: those with externalTrafficPolicy Local have a
// healthCheckNodePort for that.
package health

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Answer is what one port says.
type Answer struct {
	Service view.Key
	Local   int // ready endpoints on this node
}

// Answers are what a node's health ports say, by port number.
func Answers(v *view.View, node string) map[int32]Answer {
	out := map[int32]Answer{}
	for s := range view.List(v, resource.Services, "") {
		if asked(s) {
			out[s.Spec.HealthCheckNodePort] = Answer{view.KeyOf(s), local(v, s, node)}
		}
	}
	return out
}

func asked(s *corev1.Service) bool { return s.Spec.HealthCheckNodePort != 0 }

// local counts ready endpoints by address, as one may be in several slices.
func local(v *view.View, svc *corev1.Service, node string) int {
	addrs := map[string]bool{}
	for s := range view.List(v, resource.EndpointSlices, svc.Namespace) {
		if s.Labels[discoveryv1.LabelServiceName] != svc.Name {
			continue
		}
		for _, e := range s.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			if ready && e.NodeName != nil && *e.NodeName == node && len(e.Addresses) > 0 {
				addrs[e.Addresses[0]] = true
			}
		}
	}
	return len(addrs)
}

// concerns says whether an object has to do with health ports.
func concerns(v *view.View, obj resource.Object) bool {
	switch obj := obj.(type) {
	case *corev1.Service:
		return asked(obj)
	case *discoveryv1.EndpointSlice:
		s, ok := view.Get(v, resource.Services, obj.Namespace, obj.Labels[discoveryv1.LabelServiceName])
		return ok && asked(s)
	}
	return false
}
