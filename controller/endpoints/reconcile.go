// Package endpoints keeps the Endpoints of Services that select pods: the older
// form of EndpointSlices, which some programs still read.
package endpoints

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/endpoint"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	labelManagedBy = "endpoints.kubernetes.io/managed-by"
	managedBy      = "endpoint-controller"

	// most addresses in one object; the rest is cut, and said so by an annotation.
	most = 1000
)

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "endpoint",
		For:  resource.Services.Info,
		Reads: []controller.Input{
			{Kind: resource.Pods.Info, Keys: endpoint.ServicesOf},
			{Kind: resource.Endpoints.Info, Keys: func(_ *view.View, obj resource.Object) []view.Key { return []view.Key{view.KeyOf(obj)} }},
		},
		Writes: []controller.Output{
			{Kind: resource.Endpoints.Info, Verbs: []resource.Verb{resource.Create, resource.Update, resource.Delete}},
		},
		Reconcile: reconcile,
	}
}

func reconcile(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	stored, exists := view.Get(v, resource.Endpoints, key.Namespace, key.Name)
	svc, ok := view.Get(v, resource.Services, key.Namespace, key.Name)
	if !ok {
		if exists && stored.Labels[labelManagedBy] == managedBy {
			return controller.Plan{Do: []client.Op{client.Delete(resource.Endpoints, stored)}}
		}
		return controller.Plan{}
	}
	if !endpoint.Wanted(svc) || svc.DeletionTimestamp != nil {
		return controller.Plan{}
	}
	next, since := desired(v, svc)
	if !exists {
		endpoint.Stamp(next, svc.CreationTimestamp.Time)
		return controller.Plan{Do: []client.Op{client.Create(resource.Endpoints, next)}}
	}
	annotations := maps.Clone(stored.Annotations)
	delete(annotations, corev1.EndpointsOverCapacity) // comes back below, if it still is so
	for k, value := range next.Annotations {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[k] = value
	}
	if apiequality.Semantic.DeepEqual(stored.Subsets, next.Subsets) && maps.Equal(stored.Labels, labelsOf(svc)) &&
		maps.Equal(stored.Annotations, annotations) {
		return controller.Plan{}
	}
	trigger := first(stored.Subsets, next.Subsets, since)
	next.ObjectMeta = *stored.ObjectMeta.DeepCopy()
	next.Labels, next.Annotations = labelsOf(svc), annotations
	endpoint.Stamp(next, trigger)
	return controller.Plan{Do: []client.Op{client.Update(resource.Endpoints, next)}}
}

// first returns when the first of the pods became what it is that are new, or
// ready, or not ready any more, in a Service's subsets.
func first(old, next []corev1.EndpointSubset, since map[string]time.Time) (at time.Time) {
	was, is := readiness(old), readiness(next)
	for ip, ready := range is {
		before, there := was[ip]
		if t := since[ip]; (!there || before != ready) && !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// readiness tells of each address whether it is ready.
func readiness(subsets []corev1.EndpointSubset) map[string]bool {
	ready := map[string]bool{}
	for _, s := range subsets {
		for _, a := range s.Addresses {
			ready[a.IP] = true
		}
		for _, a := range s.NotReadyAddresses {
			ready[a.IP] = false
		}
	}
	return ready
}

func labelsOf(svc *corev1.Service) map[string]string {
	labels := maps.Clone(svc.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	delete(labels, corev1.IsHeadlessService)
	if endpoint.Headless(svc) {
		labels[corev1.IsHeadlessService] = ""
	}
	labels[labelManagedBy] = managedBy
	return labels
}

// desired returns the Endpoints that there shall be, and since when the pods at
// its addresses are as they are.
func desired(v *view.View, svc *corev1.Service) (*corev1.Endpoints, map[string]time.Time) {
	since := map[string]time.Time{}
	next := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: svc.Name, Namespace: svc.Namespace, Labels: labelsOf(svc)}}
	v6 := len(svc.Spec.IPFamilies) > 0 && svc.Spec.IPFamilies[0] == corev1.IPv6Protocol
	var keys []string // ports of the subsets, in order of first pod
	subsets := map[string]*corev1.EndpointSubset{}
	total, cut := 0, false
	for p := range endpoint.Pods(v, svc) {
		if p.DeletionTimestamp != nil && !svc.Spec.PublishNotReadyAddresses {
			continue
		}
		address, ok := addressOf(svc, p, v6)
		ports := endpoint.Ports(svc, p)
		if !ok || len(ports) == 0 && !(len(svc.Spec.Ports) == 0 && endpoint.Headless(svc)) {
			continue
		}
		if total++; total > most {
			cut = true
			continue
		}
		if c := resource.PodCondition(p, corev1.PodReady); c != nil {
			since[address.IP] = c.LastTransitionTime.Time
		}
		key := keyOf(ports)
		if subsets[key] == nil {
			subsets[key] = &corev1.EndpointSubset{Ports: portsOf(ports)}
			keys = append(keys, key)
		}
		if svc.Spec.PublishNotReadyAddresses || resource.PodReady(p) {
			subsets[key].Addresses = append(subsets[key].Addresses, address)
		} else {
			subsets[key].NotReadyAddresses = append(subsets[key].NotReadyAddresses, address)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		sortAddresses(subsets[key].Addresses)
		sortAddresses(subsets[key].NotReadyAddresses)
		next.Subsets = append(next.Subsets, *subsets[key])
	}
	if cut {
		next.Annotations = map[string]string{corev1.EndpointsOverCapacity: "truncated"}
	}
	return next, since
}

func addressOf(svc *corev1.Service, p *corev1.Pod, v6 bool) (corev1.EndpointAddress, bool) {
	ip := ""
	for _, candidate := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		if ip == "" && strings.Contains(candidate.IP, ":") == v6 {
			ip = candidate.IP
		}
	}
	address := corev1.EndpointAddress{IP: ip, Hostname: endpoint.Hostname(svc, p), TargetRef: endpoint.Reference(p)}
	if p.Spec.NodeName != "" {
		address.NodeName = ptr.To(p.Spec.NodeName)
	}
	return address, ip != ""
}

func sortAddresses(list []corev1.EndpointAddress) {
	slices.SortFunc(list, func(a, b corev1.EndpointAddress) int {
		return cmp.Or(strings.Compare(a.IP, b.IP), strings.Compare(string(a.TargetRef.UID), string(b.TargetRef.UID)))
	})
}

func portsOf(ports []endpoint.Port) []corev1.EndpointPort {
	list := make([]corev1.EndpointPort, 0, len(ports))
	for _, port := range ports {
		ep := corev1.EndpointPort{Name: port.Name, Port: port.Number, Protocol: port.Protocol}
		if port.AppProtocol != "" {
			ep.AppProtocol = ptr.To(port.AppProtocol)
		}
		list = append(list, ep)
	}
	return list
}

// keyOf writes ports down so that they can be compared and sorted.
func keyOf(ports []endpoint.Port) string {
	var key strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&key, "%s/%05d/%s/%s,", p.Name, p.Number, p.Protocol, p.AppProtocol)
	}
	return key.String()
}
