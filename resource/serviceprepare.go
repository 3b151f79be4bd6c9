package resource

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

func prepareService(req Request, s, old *corev1.Service) {
	switch {
	case old == nil:
		s.Status = corev1.ServiceStatus{}
	case req.Subresource == "":
		clearOfOldType(s, old)
	}
}

// clearOfOldType clears what the service's former type had and the new one has
// no use for, unless the user changed it too: that is for validation to refuse.
func clearOfOldType(s, old *corev1.Service) {
	spec, was := &s.Spec, &old.Spec
	if usesClusterIP(was) && !usesClusterIP(spec) {
		if sameClusterIPs(spec, was) {
			spec.ClusterIP, spec.ClusterIPs = "", nil
		}
		if slices.Equal(spec.IPFamilies, was.IPFamilies) {
			spec.IPFamilies = nil
		}
		clearIfSame(&spec.IPFamilyPolicy, was.IPFamilyPolicy)
	}
	if mayHaveNodePorts(was) && !mayHaveNodePorts(spec) && !addsNodePorts(spec, was) {
		for i := range spec.Ports {
			spec.Ports[i].NodePort = 0
		}
	}
	if usesHealthCheckPort(was) && !usesHealthCheckPort(spec) && spec.HealthCheckNodePort == was.HealthCheckNodePort {
		spec.HealthCheckNodePort = 0
	}
	if was.Type == corev1.ServiceTypeLoadBalancer && spec.Type != corev1.ServiceTypeLoadBalancer {
		clearIfSame(&spec.AllocateLoadBalancerNodePorts, was.AllocateLoadBalancerNodePorts)
		clearIfSame(&spec.LoadBalancerClass, was.LoadBalancerClass)
	}
	if externallyAccessible(was) && !externallyAccessible(spec) && spec.ExternalTrafficPolicy == was.ExternalTrafficPolicy {
		spec.ExternalTrafficPolicy = ""
	}
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
}

func clearIfSame[V any](p **V, old *V) {
	if equality.Semantic.DeepEqual(*p, old) {
		*p = nil
	}
}

func usesClusterIP(s *corev1.ServiceSpec) bool { return s.Type != corev1.ServiceTypeExternalName }

func sameClusterIPs(a, b *corev1.ServiceSpec) bool {
	return a.ClusterIP == b.ClusterIP && slices.Equal(a.ClusterIPs, b.ClusterIPs)
}

func mayHaveNodePorts(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer
}

// addsNodePorts says whether s has a node port that old has not.
func addsNodePorts(s, old *corev1.ServiceSpec) bool {
	had := nodePorts(old)
	return slices.ContainsFunc(nodePorts(s), func(p int32) bool { return !slices.Contains(had, p) })
}

func nodePorts(s *corev1.ServiceSpec) []int32 {
	var ports []int32
	for _, p := range s.Ports {
		if p.NodePort != 0 {
			ports = append(ports, p.NodePort)
		}
	}
	return ports
}

// usesHealthCheckPort says whether balancers ask nodes if they have endpoints of
// the service.
func usesHealthCheckPort(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeLoadBalancer && s.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}
