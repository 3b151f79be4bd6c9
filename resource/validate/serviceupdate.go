package validate

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func serviceUpdate(p *problems, spec, old *corev1.ServiceSpec) {
	at := field.NewPath("spec")
	if spec.Type != corev1.ServiceTypeExternalName && old.Type != corev1.ServiceTypeExternalName {
		clusterIPsUpdate(p, at, spec, old)
		familiesUpdate(p, at, spec, old)
	}
	loadBalancerClass(p, at, spec)
	if spec.Type == corev1.ServiceTypeLoadBalancer && old.Type == corev1.ServiceTypeLoadBalancer &&
		!equality.Semantic.DeepEqual(spec.LoadBalancerClass, old.LoadBalancerClass) {
		p.invalid(at.Child("loadBalancerClass"), spec.LoadBalancerClass, "may not change once set")
	}
	if healthChecked(spec) && healthChecked(old) && spec.HealthCheckNodePort != old.HealthCheckNodePort {
		p.forbidden(at.Child("healthCheckNodePort"), "field is immutable")
	}
}

// LoadBalancerStatus checks what a balancer's controller wrote.
func LoadBalancerStatus(s, old *corev1.Service) field.ErrorList {
	var p problems
	at := field.NewPath("status", "loadBalancer", "ingress")
	ingress := s.Status.LoadBalancer.Ingress
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer && len(ingress) > 0 {
		p.forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")
		return p.list()
	}
	var had []string
	if old != nil {
		for _, in := range old.Status.LoadBalancer.Ingress {
			had = append(had, in.IP)
		}
	}
	for i, in := range ingress {
		path := at.Index(i)
		if in.IP != "" {
			ip(&p, path.Child("ip"), in.IP, had)
		}
		switch {
		case in.IPMode == nil && in.IP != "":
			p.required(path.Child("ipMode"), "must be specified when `ip` is set")
		case in.IPMode != nil && in.IP == "":
			p.forbidden(path.Child("ipMode"), "may not be specified when `ip` is not set")
		case in.IPMode != nil:
			supportedOnly(&p, path.Child("ipMode"), *in.IPMode, corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy)
		}
		if in.Hostname != "" {
			dnsSubdomain(&p, path.Child("hostname"), in.Hostname)
			if isIP(in.Hostname) {
				p.invalid(path.Child("hostname"), in.Hostname, "must be a DNS name, not an IP address")
			}
		}
	}
	return p.list()
}
