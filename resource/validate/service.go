package validate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Service checks a service; old is nil on create.
func Service(s, old *corev1.Service) field.ErrorList {
	var p problems
	spec := &s.Spec
	at := field.NewPath("spec")
	if old != nil {
		serviceUpdate(&p, spec, &old.Spec)
	}
	topologyAnnotations(&p, s.Annotations)
	if len(spec.Ports) == 0 && !headless(spec) && spec.Type != corev1.ServiceTypeExternalName {
		p.required(at.Child("ports"), "")
	}
	serviceType(&p, at, spec)
	servicePorts(&p, at.Child("ports"), spec)
	if spec.Selector != nil {
		p.add(Labels(at.Child("selector"), spec.Selector)...)
	}
	sessionAffinity(&p, at, spec)
	p.add(ServiceIPs(s, old)...)
	var oldExternal []string
	if old != nil {
		oldExternal = old.Spec.ExternalIPs
	}
	for i, value := range spec.ExternalIPs {
		path := at.Child("externalIPs").Index(i)
		before := len(p)
		ip(&p, path, value, oldExternal)
		if len(p) == before {
			p.add(EndpointIP(path, value)...)
		}
	}
	oneOf(&p, at.Child("type"), spec.Type, corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort,
		corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName)
	servicePortNumbers(&p, at.Child("ports"), spec)
	sourceRanges(&p, s, old)
	loadBalancerFields(&p, at, spec)
	trafficPolicies(&p, at, spec)
	return p.list()
}

func serviceType(p *problems, at *field.Path, spec *corev1.ServiceSpec) {
	switch spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		if headless(spec) {
			p.invalid(at.Child("clusterIPs").Index(0), spec.ClusterIPs[0],
				fmt.Sprintf("may not be set to 'None' for %s services", spec.Type))
		}
	case corev1.ServiceTypeExternalName:
		const none = "may not be set for ExternalName services"
		if len(spec.ClusterIPs) > 0 {
			p.forbidden(at.Child("clusterIPs"), none)
		}
		if len(spec.IPFamilies) > 0 {
			p.forbidden(at.Child("ipFamilies"), none)
		}
		if spec.IPFamilyPolicy != nil {
			p.forbidden(at.Child("ipFamilyPolicy"), none)
		}
		if name := strings.TrimSuffix(spec.ExternalName, "."); p.need(at.Child("externalName"), name) {
			dnsSubdomain(p, at.Child("externalName"), name)
		}
	}
}

func topologyAnnotations(p *problems, annotations map[string]string) {
	hints, hasHints := annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	mode, hasMode := annotations[corev1.AnnotationTopologyMode]
	if hasHints && hasMode && hints != mode {
		p.invalid(field.NewPath("metadata", "annotations").Key(corev1.AnnotationTopologyMode), mode,
			fmt.Sprintf("must match annotations[%s] when both are specified", corev1.DeprecatedAnnotationTopologyAwareHints))
	}
}

func servicePorts(p *problems, at *field.Path, spec *corev1.ServiceSpec) {
	names := sets.New[string]()
	for i := range spec.Ports {
		port, path := &spec.Ports[i], at.Index(i)
		switch {
		case port.Name == "" && len(spec.Ports) > 1:
			p.required(path.Child("name"), "")
		case port.Name != "":
			dnsLabel(p, path.Child("name"), port.Name)
			if names.Has(port.Name) {
				p.add(field.Duplicate(path.Child("name"), port.Name))
			}
			names.Insert(port.Name)
		}
		portNumber(p, path.Child("port"), port.Port)
		protocol(p, path.Child("protocol"), port.Protocol)
		portNumberOrName(p, path.Child("targetPort"), port.TargetPort)
		if port.AppProtocol != nil {
			qualifiedName(p, path.Child("appProtocol"), *port.AppProtocol)
		}
	}
}

func protocol(p *problems, path *field.Path, value corev1.Protocol) {
	oneOf(p, path, value, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
}

// servicePortNumbers checks what no two ports of a service may share.
func servicePortNumbers(p *problems, at *field.Path, spec *corev1.ServiceSpec) {
	type key struct {
		protocol corev1.Protocol
		number   int32
	}
	for i, port := range spec.Ports {
		if spec.Type == corev1.ServiceTypeClusterIP && port.NodePort != 0 {
			p.forbidden(at.Index(i).Child("nodePort"), "may not be used when `type` is 'ClusterIP'")
		}
	}
	nodePorts := sets.New[key]()
	for i, port := range spec.Ports {
		k := key{port.Protocol, port.NodePort}
		if port.NodePort != 0 && nodePorts.Has(k) {
			p.add(field.Duplicate(at.Index(i).Child("nodePort"), port.NodePort))
		}
		nodePorts.Insert(k)
	}
	ports := sets.New[key]()
	for i, port := range spec.Ports {
		k := key{port.Protocol, port.Port}
		if ports.Has(k) {
			p.add(field.Duplicate(at.Index(i), plain(corev1.ServicePort{Protocol: port.Protocol, Port: port.Port})))
		}
		ports.Insert(k)
	}
}

func sessionAffinity(p *problems, at *field.Path, spec *corev1.ServiceSpec) {
	oneOf(p, at.Child("sessionAffinity"), spec.SessionAffinity, corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	path, config := at.Child("sessionAffinityConfig"), spec.SessionAffinityConfig
	switch spec.SessionAffinity {
	case corev1.ServiceAffinityClientIP:
		switch {
		case config == nil:
			p.required(path, fmt.Sprintf("when session affinity type is %s", corev1.ServiceAffinityClientIP))
		case config.ClientIP == nil:
			p.required(path.Child("clientIP"), fmt.Sprintf("when session affinity type is %s", corev1.ServiceAffinityClientIP))
		case config.ClientIP.TimeoutSeconds == nil:
			p.required(path.Child("clientIP", "timeoutSeconds"), fmt.Sprintf("when session affinity type is %s", corev1.ServiceAffinityClientIP))
		default:
			const most = 86400 // a day
			if seconds := *config.ClientIP.TimeoutSeconds; seconds <= 0 || seconds > most {
				p.invalid(path.Child("clientIP", "timeoutSeconds"), seconds, fmt.Sprintf("must be greater than 0 and less than %d", most))
			}
		}
	case corev1.ServiceAffinityNone:
		if config != nil {
			p.forbidden(path, fmt.Sprintf("must not be set when session affinity is %s", corev1.ServiceAffinityNone))
		}
	}
}

func sourceRanges(p *problems, s, old *corev1.Service) {
	const only = "may only be used when `type` is 'LoadBalancer'"
	isBalancer := s.Spec.Type == corev1.ServiceTypeLoadBalancer
	if len(s.Spec.LoadBalancerSourceRanges) > 0 {
		path := field.NewPath("spec", "LoadBalancerSourceRanges")
		if !isBalancer {
			p.forbidden(path, only)
		}
		var had []string
		if old != nil {
			for _, value := range old.Spec.LoadBalancerSourceRanges {
				had = append(had, strings.TrimSpace(value))
			}
		}
		for i, value := range s.Spec.LoadBalancerSourceRanges {
			p.add(validation.IsValidCIDRForLegacyField(path.Index(i), strings.TrimSpace(value), true, had)...)
		}
		return
	}
	value, ok := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]
	if !ok {
		return
	}
	path := field.NewPath("metadata", "annotations").Key(corev1.AnnotationLoadBalancerSourceRangesKey)
	if !isBalancer {
		p.forbidden(path, only)
	}
	if old != nil && old.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey] == value || strings.TrimSpace(value) == "" {
		return
	}
	for cidr := range strings.SplitSeq(value, ",") {
		p.add(validation.IsValidCIDRForLegacyField(path, strings.TrimSpace(cidr), true, nil)...)
	}
}

func loadBalancerFields(p *problems, at *field.Path, spec *corev1.ServiceSpec) {
	const only = "may only be used when `type` is 'LoadBalancer'"
	isBalancer := spec.Type == corev1.ServiceTypeLoadBalancer
	switch {
	case !isBalancer && spec.AllocateLoadBalancerNodePorts != nil:
		p.forbidden(at.Child("allocateLoadBalancerNodePorts"), only)
	case isBalancer && spec.AllocateLoadBalancerNodePorts == nil:
		p.required(field.NewPath("allocateLoadBalancerNodePorts"), "")
	}
	loadBalancerClass(p, at, spec)
}

func loadBalancerClass(p *problems, at *field.Path, spec *corev1.ServiceSpec) {
	switch class := spec.LoadBalancerClass; {
	case class == nil:
	case spec.Type == corev1.ServiceTypeLoadBalancer:
		qualifiedName(p, at.Child("loadBalancerClass"), *class)
	default:
		p.forbidden(at.Child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'")
	}
}

func trafficPolicies(p *problems, at *field.Path, spec *corev1.ServiceSpec) {
	external := spec.Type == corev1.ServiceTypeLoadBalancer || spec.Type == corev1.ServiceTypeNodePort ||
		spec.Type == corev1.ServiceTypeClusterIP && len(spec.ExternalIPs) > 0
	if external {
		oneOf(p, at.Child("externalTrafficPolicy"), spec.ExternalTrafficPolicy,
			corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	} else if spec.ExternalTrafficPolicy != "" {
		p.invalid(at.Child("externalTrafficPolicy"), spec.ExternalTrafficPolicy, "may only be set for externally-accessible services")
	}
	switch path := at.Child("healthCheckNodePort"); {
	case !healthChecked(spec) && spec.HealthCheckNodePort != 0:
		p.invalid(path, spec.HealthCheckNodePort, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
	case healthChecked(spec) && spec.HealthCheckNodePort == 0:
		p.required(path, "")
	case healthChecked(spec):
		portNumber(p, path, spec.HealthCheckNodePort)
	}
	if policy := spec.InternalTrafficPolicy; policy != nil {
		supportedOnly(p, at.Child("internalTrafficPolicy"), *policy,
			corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)
	} else if spec.Type == corev1.ServiceTypeClusterIP || spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer {
		p.required(at.Child("internalTrafficPolicy"), "")
	}
	if spec.TrafficDistribution != nil {
		supported := []string{
			corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone,
			corev1.ServiceTrafficDistributionPreferSameNode,
		}
		if !slices.Contains(supported, *spec.TrafficDistribution) {
			p.add(field.NotSupported(at.Child("trafficDistribution"), *spec.TrafficDistribution, supported))
		}
	}
}

func healthChecked(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeLoadBalancer && spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func headless(spec *corev1.ServiceSpec) bool {
	return len(spec.ClusterIPs) == 1 && spec.ClusterIPs[0] == corev1.ClusterIPNone
}
