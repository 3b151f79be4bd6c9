package resource

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var serviceColumns = []Column[*corev1.Service]{
	nameColumn[*corev1.Service](),
	column("Type", corev1.ServiceSpec{}.SwaggerDoc()["type"], func(s *corev1.Service) any { return string(s.Spec.Type) }),
	column("Cluster-IP", corev1.ServiceSpec{}.SwaggerDoc()["clusterIP"], func(s *corev1.Service) any {
		if len(s.Spec.ClusterIPs) == 0 {
			return "<none>"
		}
		return s.Spec.ClusterIPs[0]
	}),
	column("External-IP", corev1.ServiceSpec{}.SwaggerDoc()["externalIPs"], func(s *corev1.Service) any { return serviceExternalIP(s) }),
	column("Port(s)", corev1.ServiceSpec{}.SwaggerDoc()["ports"], func(s *corev1.Service) any { return orNone(servicePorts(s.Spec.Ports)) }),
	ageColumn[*corev1.Service](),
	wideColumn("Selector", corev1.ServiceSpec{}.SwaggerDoc()["selector"],
		func(s *corev1.Service) any { return labels.FormatLabels(s.Spec.Selector) }),
}

func serviceExternalIP(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return orNone(strings.Join(s.Spec.ExternalIPs, ","))
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		var all []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			if in.IP != "" {
				all = append(all, in.IP)
			} else if in.Hostname != "" {
				all = append(all, in.Hostname)
			}
		}
		slices.Sort(all)
		all = append(slices.Compact(all), s.Spec.ExternalIPs...)
		if len(all) == 0 {
			return "<pending>"
		}
		return strings.Join(all, ",")
	}
	return "<unknown>"
}

func servicePorts(ports []corev1.ServicePort) string {
	all := make([]string, len(ports))
	for i, p := range ports {
		if p.NodePort > 0 {
			all[i] = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		} else {
			all[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		}
	}
	return strings.Join(all, ",")
}
