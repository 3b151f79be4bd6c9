package resource

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// wantsNodePorts says whether a service's ports get node ports.
func wantsNodePorts(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer &&
		(s.AllocateLoadBalancerNodePorts == nil || *s.AllocateLoadBalancerNodePorts)
}

func (a *allocator) nodePorts(svc, old *corev1.Service) (field.ErrorList, error) {
	spec := &svc.Spec
	var had []int32 // what was this service's own stays its own
	if old != nil {
		had = nodePorts(&old.Spec)
	}
	if mayHaveNodePorts(spec) {
		if errs, err := a.portsOf(spec, had, old == nil); len(errs) > 0 || err != nil {
			return errs, err
		}
	}
	if !usesHealthCheckPort(spec) || old != nil && usesHealthCheckPort(&old.Spec) {
		return nil, nil
	}
	if spec.HealthCheckNodePort != 0 {
		if err := a.claimPort(spec.HealthCheckNodePort); err != nil {
			return nil, fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %v", spec.HealthCheckNodePort, err)
		}
		return nil, nil
	}
	port, err := a.freePort()
	if err != nil {
		return nil, fmt.Errorf("failed to allocate a HealthCheck NodePort %v: %v", port, err)
	}
	spec.HealthCheckNodePort = port
	return nil, nil
}

// portsOf claims or finds a node port for every port of a service. Ports of the
// same number but different protocols get the same node port when they are
// created together.
func (a *allocator) portsOf(spec *corev1.ServiceSpec, had []int32, share bool) (field.ErrorList, error) {
	given := map[int32]int32{} // service port to node port
	own := slices.Clone(had)
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if p.NodePort == 0 && !wantsNodePorts(spec) {
			continue
		}
		if p.NodePort == 0 && share {
			p.NodePort = given[p.Port]
			if p.NodePort == 0 {
				p.NodePort = requestedNodePort(spec.Ports, p.Port)
			}
		}
		switch {
		case p.NodePort == 0:
			port, err := a.freePort()
			if err != nil {
				return nil, fmt.Errorf("failed to allocate a nodePort: %w", err)
			}
			p.NodePort = port
			own = append(own, port)
		case !slices.Contains(own, p.NodePort):
			if err := a.claimPort(p.NodePort); err != nil {
				return field.ErrorList{field.Invalid(field.NewPath("spec", "ports").Index(i).Child("nodePort"), p.NodePort, err.Error())}, nil
			}
			own = append(own, p.NodePort)
		}
		setMissing(given, p.Port, p.NodePort)
	}
	return nil, nil
}

func requestedNodePort(ports []corev1.ServicePort, port int32) int32 {
	for _, p := range ports {
		if p.Port == port && p.NodePort != 0 {
			return p.NodePort
		}
	}
	return 0
}

func (a *allocator) claimPort(port int32) error {
	switch {
	case port < a.FirstPort || port > a.LastPort:
		return fmt.Errorf("provided port is not in the valid range. The range of valid ports is %d-%d", a.FirstPort, a.LastPort)
	case a.ports[port]:
		return errPortTaken
	}
	a.ports[port] = true
	return nil
}

// freePort returns a free node port, from the lower part of the range last
// (KEP-3668).
func (a *allocator) freePort() (int32, error) {
	count := int64(a.LastPort-a.FirstPort) + 1
	low := int32(lowBand(count, 32, 128))
	for _, band := range [][2]int32{{low, int32(count)}, {0, low}} {
		width := band[1] - band[0]
		if width <= 0 {
			continue
		}
		start := a.rnd.Int32N(width)
		for i := range width {
			port := a.FirstPort + band[0] + (start+i)%width
			if !a.ports[port] {
				a.ports[port] = true
				return port, nil
			}
		}
	}
	return 0, errRangeFull
}
