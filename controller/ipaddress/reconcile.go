// Package ipaddress shows each cluster address of a Service as an IPAddress
// (KEP-1880), and removes those whose Service is gone.
package ipaddress

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// managedBy marks the addresses that are of Services, and so ours.
const managedBy = "ipallocator.k8s.io"

// Controller returns the controller. A key is a Service as namespace, written
// NAMESPACE/NAME, and one address as name.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "ipallocator-repair",
		Reads: []controller.Input{
			{Kind: resource.Services.Info, Keys: keysOfService},
			{Kind: resource.IPAddresses.Info, Keys: keysOfAddress},
		},
		Writes: []controller.Output{
			{Kind: resource.IPAddresses.Info, Verbs: []resource.Verb{resource.Create, resource.Delete}},
		},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			namespace, name, _ := strings.Cut(key.Namespace, "/")
			return reconcile(v, view.Key{Namespace: namespace, Name: name}, key.Name)
		},
	}
}

func keysOfService(_ *view.View, obj resource.Object) []view.Key {
	var keys []view.Key
	for _, ip := range addresses(obj.(*corev1.Service)) {
		keys = append(keys, view.Key{Namespace: view.KeyOf(obj).String(), Name: ip})
	}
	return keys
}

func keysOfAddress(_ *view.View, obj resource.Object) []view.Key {
	ref := obj.(*networkingv1.IPAddress).Spec.ParentRef
	if ref == nil || ref.Group != "" || ref.Resource != "services" {
		return nil
	}
	parent := view.Key{Namespace: ref.Namespace, Name: ref.Name}
	return []view.Key{{Namespace: parent.String(), Name: obj.GetName()}}
}

// addresses returns the cluster addresses of a Service in their one form.
func addresses(svc *corev1.Service) []string {
	var list []string
	for _, ip := range svc.Spec.ClusterIPs {
		if addr, err := netip.ParseAddr(ip); err == nil { // "None" and "" are none
			list = append(list, addr.String())
		}
	}
	return list
}

func holds(v *view.View, service view.Key, ip string) bool {
	svc, ok := view.Get(v, resource.Services, service.Namespace, service.Name)
	return ok && slices.Contains(addresses(svc), ip)
}

func reconcile(v *view.View, service view.Key, ip string) controller.Plan {
	have, exists := view.Get(v, resource.IPAddresses, "", ip)
	holder := holds(v, service, ip)
	switch {
	case !exists && holder:
		return controller.Plan{Do: []client.Op{client.Create(resource.IPAddresses, addressOf(service, ip))}}
	case !exists || have.DeletionTimestamp != nil:
		return controller.Plan{}
	}
	stale := have.Labels[networkingv1.LabelManagedBy] == managedBy && !isHeld(v, have)
	if !stale {
		return controller.Plan{}
	}
	op := client.Delete(resource.IPAddresses, have)
	op.Cause = "no Service has this address"
	return controller.Plan{Do: []client.Op{op}}
}

// isHeld says whether the Service that an address names has it.
func isHeld(v *view.View, a *networkingv1.IPAddress) bool {
	ref := a.Spec.ParentRef
	return ref != nil && holds(v, view.Key{Namespace: ref.Namespace, Name: ref.Name}, a.Name)
}

func addressOf(service view.Key, ip string) *networkingv1.IPAddress {
	family := corev1.IPv4Protocol
	if addr, err := netip.ParseAddr(ip); err == nil && addr.Is6() {
		family = corev1.IPv6Protocol
	}
	return &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: ip, Labels: map[string]string{
			networkingv1.LabelIPAddressFamily: string(family), networkingv1.LabelManagedBy: managedBy,
		}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: service.Namespace, Name: service.Name,
		}},
	}
}
