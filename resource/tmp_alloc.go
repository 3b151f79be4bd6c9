package resource

import (
	"iter"
	"math/rand/v2"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AllocateService is replaced by the kinds branch.
func AllocateService(svc, old *corev1.Service, services iter.Seq[*corev1.Service], cidrs []netip.Prefix, ports [2]int32) field.ErrorList {
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	used, usedPorts := map[string]bool{}, map[int32]bool{}
	for s := range services {
		used[s.Spec.ClusterIP] = true
		for _, p := range s.Spec.Ports {
			usedPorts[p.NodePort] = true
		}
	}
	if svc.Spec.ClusterIP == "" {
		base := cidrs[0].Addr().As4()
		for {
			n := rand.IntN(60000) + 300
			a := netip.AddrFrom4([4]byte{base[0], base[1], byte(n >> 8), byte(n)})
			if !used[a.String()] && cidrs[0].Contains(a) {
				svc.Spec.ClusterIP = a.String()
				break
			}
		}
	}
	if len(svc.Spec.ClusterIPs) == 0 {
		svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP}
	}
	if svc.Spec.Type == corev1.ServiceTypeNodePort {
		for i := range svc.Spec.Ports {
			for svc.Spec.Ports[i].NodePort == 0 {
				if n := ports[0] + rand.Int32N(ports[1]-ports[0]); !usedPorts[n] {
					svc.Spec.Ports[i].NodePort = n
				}
			}
		}
	}
	return nil
}
