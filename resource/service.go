package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Services is the kind Service.
var Services = Define(Kind[*corev1.Service]{
	Version: "v1", Kind: "Service", Resource: "services", Short: []string{"svc"},
	ShowsDeleted: true,
	Categories:   []string{"all"}, Namespaced: true, Prefix: "services/specs",
	CreateOnUpdate: true,
	Name:           validation.NameIsDNSLabel,
	Warn:           warnService,
	Validate:       validateService,
	Default:        defaultService,
	Prepare:        prepareService,
	Columns:        serviceColumns,
	Status:         func(to, from *corev1.Service) { to.Status = from.Status },
	Attached:       []Attached{{Name: "proxy", Kind: coreKind("ServiceProxyOptions"), Verbs: proxyVerbs, Paths: true}},
	Fields: map[string]func(*corev1.Service) string{
		"spec.clusterIP": func(s *corev1.Service) string { return s.Spec.ClusterIP },
		"spec.type":      func(s *corev1.Service) string { return string(s.Spec.Type) },
	},
})

func defaultService(s *corev1.Service) {
	spec := &s.Spec
	setIfEmpty(&spec.SessionAffinity, corev1.ServiceAffinityNone)
	defaultSessionAffinity(spec)
	setIfEmpty(&spec.Type, corev1.ServiceTypeClusterIP)
	for i := range spec.Ports {
		p := &spec.Ports[i]
		setIfEmpty(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if externallyAccessible(spec) {
		setIfEmpty(&spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if spec.Type == corev1.ServiceTypeClusterIP || mayHaveNodePorts(spec) {
		setIfNil(&spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		setIfNil(&spec.AllocateLoadBalancerNodePorts, true)
		for i := range s.Status.LoadBalancer.Ingress {
			if in := &s.Status.LoadBalancer.Ingress[i]; in.IP != "" {
				setIfNil(&in.IPMode, corev1.LoadBalancerIPModeVIP)
			}
		}
	}
}

func defaultSessionAffinity(spec *corev1.ServiceSpec) {
	switch c := spec.SessionAffinityConfig; {
	case spec.SessionAffinity == corev1.ServiceAffinityNone:
		spec.SessionAffinityConfig = nil
	case spec.SessionAffinity == corev1.ServiceAffinityClientIP && (c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil):
		seconds := corev1.DefaultClientIPServiceAffinitySeconds
		spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{
			ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds},
		}
	}
}

// externallyAccessible says whether a service takes traffic from outside the
// cluster.
func externallyAccessible(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeLoadBalancer || spec.Type == corev1.ServiceTypeNodePort ||
		spec.Type == corev1.ServiceTypeClusterIP && len(spec.ExternalIPs) > 0
}

func validateService(req Request, s, old *corev1.Service) field.ErrorList {
	if req.Subresource == "status" {
		return validate.LoadBalancerStatus(s, old)
	}
	return validate.Service(s, old)
}
