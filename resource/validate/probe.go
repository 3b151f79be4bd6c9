package validate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// probes checks the three probes of a container.
func probes(p *problems, at *field.Path, c *corev1.Container, grace *int64) {
	for _, one := range []struct {
		name  string
		probe *corev1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
		if one.probe == nil {
			continue
		}
		path := at.Child(one.name)
		probe(p, path, one.probe, grace)
		switch {
		case one.name != "readinessProbe" && one.probe.SuccessThreshold != 1:
			p.invalid(path.Child("successThreshold"), one.probe.SuccessThreshold, "must be 1")
		case one.name == "readinessProbe" && one.probe.TerminationGracePeriodSeconds != nil:
			p.invalid(path.Child("terminationGracePeriodSeconds"), one.probe.TerminationGracePeriodSeconds, "must not be set for readinessProbes")
		}
	}
}

func probe(p *problems, at *field.Path, b *corev1.Probe, grace *int64) {
	handler(p, at, handlers{exec: b.Exec, http: b.HTTPGet, tcp: b.TCPSocket, grpc: b.GRPC}, grace)
	notNegative(p, at.Child("initialDelaySeconds"), int64(b.InitialDelaySeconds))
	notNegative(p, at.Child("timeoutSeconds"), int64(b.TimeoutSeconds))
	notNegative(p, at.Child("periodSeconds"), int64(b.PeriodSeconds))
	notNegative(p, at.Child("successThreshold"), int64(b.SuccessThreshold))
	notNegative(p, at.Child("failureThreshold"), int64(b.FailureThreshold))
	if g := b.TerminationGracePeriodSeconds; g != nil && *g <= 0 {
		p.invalid(at.Child("terminationGracePeriodSeconds"), *g, "must be greater than 0")
	}
}

// handlers are the ways to ask or tell a container, of which one must be given.
type handlers struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

func handler(p *problems, at *field.Path, h handlers, grace *int64) {
	count := 0
	one := func(name string, set bool, check func(*field.Path)) {
		switch {
		case !set:
		case count > 0:
			p.forbidden(at.Child(name), "may not specify more than 1 handler type")
		default:
			count++
			check(at.Child(name))
		}
	}
	one("exec", h.exec != nil, func(at *field.Path) {
		if len(h.exec.Command) == 0 {
			p.required(at.Child("command"), "")
		}
	})
	one("httpGet", h.http != nil, func(at *field.Path) { httpGet(p, at, h.http) })
	one("tcpSocket", h.tcp != nil, func(at *field.Path) { portNumberOrName(p, at.Child("port"), h.tcp.Port) })
	one("grpc", h.grpc != nil, func(at *field.Path) { portNumberOrName(p, at.Child("port"), intstr.FromInt32(h.grpc.Port)) })
	one("sleep", h.sleep != nil, func(at *field.Path) {
		if s := h.sleep.Seconds; grace != nil && (s < 0 || s > *grace) {
			p.invalid(at, s, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *grace))
		}
	})
	if count == 0 {
		p.required(at, "must specify a handler type")
	}
}

func httpGet(p *problems, at *field.Path, h *corev1.HTTPGetAction) {
	p.need(at.Child("path"), h.Path)
	portNumberOrName(p, at.Child("port"), h.Port)
	supportedOnly(p, at.Child("scheme"), h.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS)
	for _, header := range h.HTTPHeaders {
		p.invalids(at.Child("httpHeaders"), header.Name, validation.IsHTTPHeaderName(header.Name))
	}
}

func lifecycle(p *problems, at *field.Path, l *corev1.Lifecycle, grace *int64) {
	if l == nil {
		return
	}
	if h := l.PostStart; h != nil {
		handler(p, at.Child("postStart"), handlers{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep}, grace)
	}
	if h := l.PreStop; h != nil {
		handler(p, at.Child("preStop"), handlers{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep}, grace)
	}
}
