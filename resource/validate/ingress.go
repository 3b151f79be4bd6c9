package validate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ingressClassAnnotation named the class before there was a field. Both have to
// say the same when an ingress is created.
const ingressClassAnnotation = "kubernetes.io/ingress.class"

// Ingress checks an ingress.
func Ingress(ing, old *networkingv1.Ingress) field.ErrorList {
	var p problems
	at, spec := field.NewPath("spec"), &ing.Spec
	if len(spec.Rules) == 0 && spec.DefaultBackend == nil {
		p.invalid(at, spec.Rules, "either `defaultBackend` or `rules` must be specified")
	}
	if spec.DefaultBackend != nil {
		ingressBackend(&p, at.Child("defaultBackend"), spec.DefaultBackend)
	}
	for i := range spec.Rules {
		ingressRule(&p, at.Child("rules").Index(i), &spec.Rules[i])
	}
	for i := range spec.TLS {
		ingressTLS(&p, at.Child("tls").Index(i), &spec.TLS[i])
	}
	if spec.IngressClassName != nil {
		objectName(&p, at.Child("ingressClassName"), *spec.IngressClassName)
	}
	value, ok := ing.Annotations[ingressClassAnnotation]
	if ok && old == nil && spec.IngressClassName != nil && *spec.IngressClassName != value {
		p.invalid(field.NewPath("annotations").Child(ingressClassAnnotation), value, "must match `ingressClassName` when both are specified")
	}
	return p.list()
}

// wildcardOrName checks a host that may start with "*.".
func wildcardOrName(p *problems, at *field.Path, host string) {
	if strings.Contains(host, "*") {
		p.invalids(at, host, validation.IsWildcardDNS1123Subdomain(host))
		return
	}
	dnsSubdomain(p, at, host)
}

func ingressTLS(p *problems, at *field.Path, t *networkingv1.IngressTLS) {
	for i, host := range t.Hosts {
		wildcardOrName(p, at.Child("hosts").Index(i), host)
	}
	if t.SecretName != "" {
		objectName(p, at.Child("secretName"), t.SecretName)
	}
}

func ingressRule(p *problems, at *field.Path, r *networkingv1.IngressRule) {
	if r.Host != "" {
		if isIP(r.Host) {
			p.invalid(at.Child("host"), r.Host, "must be a DNS name, not an IP address")
		}
		wildcardOrName(p, at.Child("host"), r.Host)
	}
	if r.HTTP == nil {
		return
	}
	paths := at.Child("http", "paths")
	if len(r.HTTP.Paths) == 0 {
		p.required(paths, "")
	}
	for i := range r.HTTP.Paths {
		ingressPath(p, paths.Index(i), &r.HTTP.Paths[i])
	}
}

func ingressPath(p *problems, at *field.Path, h *networkingv1.HTTPIngressPath) {
	if h.PathType == nil {
		p.required(at.Child("pathType"), "pathType must be specified")
		return
	}
	path, isAbsolute := at.Child("path"), strings.HasPrefix(h.Path, "/")
	switch *h.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !isAbsolute {
			p.invalid(path, h.Path, "must be an absolute path")
		}
		for _, part := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(h.Path, part) {
				p.invalid(path, h.Path, fmt.Sprintf("must not contain '%s'", part))
			}
		}
		for _, end := range []string{"/..", "/."} {
			if strings.HasSuffix(h.Path, end) {
				p.invalid(path, h.Path, fmt.Sprintf("cannot end with '%s'", end))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if h.Path != "" && !isAbsolute {
			p.invalid(path, h.Path, "must be an absolute path")
		}
	default:
		supportedOnly(p, at.Child("pathType"), *h.PathType, networkingv1.PathTypeExact,
			networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific)
	}
	ingressBackend(p, at.Child("backend"), &h.Backend)
}

func ingressBackend(p *problems, at *field.Path, b *networkingv1.IngressBackend) {
	switch {
	case b.Resource != nil && b.Service != nil:
		p.invalid(at, "", "cannot set both resource and service backends")
	case b.Resource != nil:
		localReference(p, at.Child("resource"), b.Resource)
	case b.Service != nil:
		serviceBackend(p, at, b.Service)
	default:
		p.invalid(at, "", "resource or service backend is required")
	}
}

func serviceBackend(p *problems, at *field.Path, s *networkingv1.IngressServiceBackend) {
	if name := at.Child("service", "name"); p.need(name, s.Name) {
		p.invalids(name, s.Name, apivalidation.NameIsDNSLabel(s.Name, false))
	}
	port := at.Child("service", "port")
	switch {
	case s.Port.Name != "" && s.Port.Number != 0:
		p.invalid(at, "", "cannot set both port name & port number")
	case s.Port.Name != "":
		p.invalids(port.Child("name"), s.Port.Name, validation.IsValidPortName(s.Port.Name))
	case s.Port.Number != 0:
		portNumber(p, port.Child("number"), s.Port.Number)
	default:
		p.required(at, "port name or number is required")
	}
}

// localReference checks a reference to any object of the same namespace.
func localReference(p *problems, at *field.Path, ref *corev1.TypedLocalObjectReference) {
	if ref.APIGroup != nil {
		dnsSubdomain(p, at.Child("apiGroup"), *ref.APIGroup)
	}
	if p.need(at.Child("kind"), ref.Kind) {
		pathSegment(p, at.Child("kind"), ref.Kind)
	}
	if p.need(at.Child("name"), ref.Name) {
		pathSegment(p, at.Child("name"), ref.Name)
	}
}

// pathSegment checks a name that can be part of a URL's path.
func pathSegment(p *problems, at *field.Path, value string) {
	p.invalids(at, value, content.IsPathSegmentName(value))
}

// IngressStatus checks the status of an ingress.
func IngressStatus(ing, old *networkingv1.Ingress) field.ErrorList {
	var p problems
	var had []string
	for _, in := range old.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			had = append(had, in.IP)
		}
	}
	for i, in := range ing.Status.LoadBalancer.Ingress {
		at := field.NewPath("status", "loadBalancer", "ingress").Index(i)
		if in.IP != "" {
			ip(&p, at.Child("ip"), in.IP, had)
		}
		if in.Hostname != "" {
			dnsSubdomain(&p, at.Child("hostname"), in.Hostname)
			if isIP(in.Hostname) {
				p.invalid(at.Child("hostname"), in.Hostname, "must be a DNS name, not an IP address")
			}
		}
	}
	return p.list()
}
