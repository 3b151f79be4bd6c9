// Package endpoint says which pods stand behind a Service and on which ports.
// The controllers of EndpointSlices and of Endpoints both build on it.
package endpoint

import (
	"iter"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Wanted says that a Service's endpoints are made from pods: it has a selector
// and an address of the cluster.
func Wanted(svc *corev1.Service) bool {
	return len(svc.Spec.Selector) > 0 && svc.Spec.Type != corev1.ServiceTypeExternalName
}

// ServicesOf names the Services that a pod is behind. Most changes of pods come
// before they have an address, and concern none.
func ServicesOf(v *view.View, obj resource.Object) []view.Key {
	set := labels.Set(obj.GetLabels())
	if p := obj.(*corev1.Pod); len(set) == 0 || p.Status.PodIP == "" || resource.PodTerminal(p) {
		return nil
	}
	var keys []view.Key
	for svc := range view.List(v, resource.Services, obj.GetNamespace()) {
		if Wanted(svc) && selects(svc, set) {
			keys = append(keys, view.KeyOf(svc))
		}
	}
	return keys
}

// SlicesOf returns the Keys of an Input of EndpointSlices: each that managedBy
// keeps names what it is of.
func SlicesOf(managedBy string) func(*view.View, resource.Object) []view.Key {
	return func(_ *view.View, obj resource.Object) []view.Key {
		labels := obj.GetLabels()
		if labels[discoveryv1.LabelManagedBy] != managedBy || labels[discoveryv1.LabelServiceName] == "" {
			return nil
		}
		return []view.Key{{Namespace: obj.GetNamespace(), Name: labels[discoveryv1.LabelServiceName]}}
	}
}

// Stamp says on an object that is written when its cause happened, so that proxies
// can tell how long it took to reach them; zero where no pod caused it. The
// annotations must be the object's own.
func Stamp(obj metav1.Object, at time.Time) {
	annotations := obj.GetAnnotations()
	delete(annotations, corev1.EndpointsLastChangeTriggerTime)
	if !at.IsZero() {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[corev1.EndpointsLastChangeTriggerTime] = at.UTC().Format(time.RFC3339Nano)
	}
	obj.SetAnnotations(annotations)
}

func selects(svc *corev1.Service, set labels.Set) bool {
	for k, v := range svc.Spec.Selector {
		if have, ok := set[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Pods yields the pods that can be a Service's endpoints: selected, not
// finished, with an address.
func Pods(v *view.View, svc *corev1.Service) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for p := range view.List(v, resource.Pods, svc.Namespace) {
			if p.Status.PodIP == "" || resource.PodTerminal(p) || !selects(svc, p.Labels) {
				continue
			}
			if !yield(p) {
				return
			}
		}
	}
}

// Port is a Service's port as one pod offers it.
type Port struct {
	Name        string
	Number      int32
	Protocol    corev1.Protocol
	AppProtocol string // "" for none
}

// Ports returns the Service's ports on a pod. Named ports that the pod does not
// have are left out.
func Ports(svc *corev1.Service, p *corev1.Pod) []Port {
	ports := make([]Port, 0, len(svc.Spec.Ports))
	for _, sp := range svc.Spec.Ports {
		number, ok := number(sp, p)
		if !ok {
			continue
		}
		port := Port{Name: sp.Name, Number: number, Protocol: sp.Protocol}
		if sp.AppProtocol != nil {
			port.AppProtocol = *sp.AppProtocol
		}
		ports = append(ports, port)
	}
	return ports
}

func number(sp corev1.ServicePort, p *corev1.Pod) (int32, bool) {
	if sp.TargetPort.Type == intstr.Int {
		if sp.TargetPort.IntVal == 0 {
			return sp.Port, true
		}
		return sp.TargetPort.IntVal, true
	}
	named := func(containers []corev1.Container, sidecars bool) (int32, bool) {
		for i := range containers {
			if sidecars && (containers[i].RestartPolicy == nil || *containers[i].RestartPolicy != corev1.ContainerRestartPolicyAlways) {
				continue
			}
			for _, cp := range containers[i].Ports {
				if cp.Name == sp.TargetPort.StrVal && cp.Protocol == sp.Protocol {
					return cp.ContainerPort, true
				}
			}
		}
		return 0, false
	}
	if n, ok := named(p.Spec.Containers, false); ok {
		return n, true
	}
	return named(p.Spec.InitContainers, true)
}

// Hostname is the name that DNS gives to the pod below the Service; "" for none.
func Hostname(svc *corev1.Service, p *corev1.Pod) string {
	if p.Spec.Subdomain == svc.Name && p.Namespace == svc.Namespace {
		return p.Spec.Hostname
	}
	return ""
}

// Reference names the pod behind an address.
func Reference(p *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
}

// Headless says that the Service has no address of its own.
func Headless(svc *corev1.Service) bool { return svc.Spec.ClusterIP == corev1.ClusterIPNone }
