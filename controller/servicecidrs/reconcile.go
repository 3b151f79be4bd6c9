// Package servicecidrs says of each ServiceCIDR that it is ready, and keeps one
// that is deleted until no address depends on it (KEP-1880).
package servicecidrs

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	// finalizer keeps a ServiceCIDR until its addresses are gone.
	finalizer = "networking.k8s.io/service-cidr-finalizer"
	// managedBy marks the addresses that are of Services.
	managedBy = "ipallocator.k8s.io"
	// grace is how long servers may not know yet that nothing is to be taken from a
	// range, as upstream's.
	grace = 10 * time.Second
)

// Controller returns the controller.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "service-cidrs", EventSource: "service-cidr-controller",
		For: resource.ServiceCIDRs.Info,
		Reads: []controller.Input{
			// What comes or goes may free one that overlaps it, or hold it.
			{Kind: resource.ServiceCIDRs.Info, Keys: func(v *view.View, obj resource.Object) []view.Key {
				return leaving(v, func(p netip.Prefix) bool {
					return slices.ContainsFunc(prefixes(obj.(*networkingv1.ServiceCIDR)), p.Overlaps)
				})
			}},
			{Kind: resource.IPAddresses.Info, Keys: func(v *view.View, obj resource.Object) []view.Key {
				addr, ok := ours(obj.(*networkingv1.IPAddress))
				return leaving(v, func(p netip.Prefix) bool { return ok && gives(p, addr) })
			}},
		},
		Writes: []controller.Output{
			{Kind: resource.ServiceCIDRs.Info, Verbs: []resource.Verb{resource.Update}},
			{Kind: resource.ServiceCIDRs.Info, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: reconcile,
	}
}

// leaving are the keys of those being deleted that have a range of some kind.
func leaving(v *view.View, of func(netip.Prefix) bool) (keys []view.Key) {
	for c := range view.List(v, resource.ServiceCIDRs, "") {
		if c.DeletionTimestamp != nil && slices.ContainsFunc(prefixes(c), of) {
			keys = append(keys, view.KeyOf(c))
		}
	}
	return keys
}

func reconcile(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
	c, ok := view.Get(v, resource.ServiceCIDRs, "", key.Name)
	switch {
	case !ok:
		return controller.Plan{}
	case c.DeletionTimestamp == nil && !slices.Contains(c.Finalizers, finalizer):
		next := c.DeepCopy()
		next.Finalizers = append(next.Finalizers, finalizer)
		return controller.Plan{Do: []client.Op{client.Update(resource.ServiceCIDRs, next)}} // its change calls again
	case c.DeletionTimestamp == nil:
		return say(c, metav1.Condition{Status: metav1.ConditionTrue, Message: "Kubernetes Service CIDR is ready"}, now)
	case needed(v, c):
		return say(c, metav1.Condition{
			Status: metav1.ConditionFalse, Reason: networkingv1.ServiceCIDRReasonTerminating,
			Message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
		}, now)
	}
	if left := c.DeletionTimestamp.Add(grace).Sub(now); left > 0 {
		return controller.Plan{Again: left}
	}
	if !slices.Contains(c.Finalizers, finalizer) {
		return controller.Plan{}
	}
	next := c.DeepCopy()
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == finalizer })
	op := client.Update(resource.ServiceCIDRs, next)
	op.Cause = "no address depends on it"
	return controller.Plan{Do: []client.Op{op}}
}

// say sets the condition Ready, unless it says just that.
func say(c *networkingv1.ServiceCIDR, ready metav1.Condition, now time.Time) controller.Plan {
	ready.Type, ready.LastTransitionTime = networkingv1.ServiceCIDRConditionReady, metav1.NewTime(now)
	have := meta.FindStatusCondition(c.Status.Conditions, ready.Type)
	if have != nil && have.Status == ready.Status && have.Reason == ready.Reason && have.Message == ready.Message {
		return controller.Plan{}
	}
	next := c.DeepCopy()
	if have != nil {
		meta.RemoveStatusCondition(&next.Status.Conditions, ready.Type) // upstream dates each change of it anew
	}
	next.Status.Conditions = append(next.Status.Conditions, ready)
	p := controller.Plan{Do: []client.Op{client.UpdateStatus(resource.ServiceCIDRs, next)}}
	if ready.Status == metav1.ConditionTrue {
		p.Failed = func(_ client.Op, err error) controller.Plan {
			return controller.Plan{Err: err, Events: []controller.Note{{Note: event.Note{
				About: c, Kind: resource.ServiceCIDRs.Info, Warning: true,
				Reason: "KubernetesServiceCIDRError", Message: "The ServiceCIDR Status can not be set to Ready=True",
			}}}}
		}
	}
	return p
}

// needed tells whether an address of a Service would be in no range without c.
func needed(v *view.View, c *networkingv1.ServiceCIDR) bool {
	var others []netip.Prefix
	for o := range view.List(v, resource.ServiceCIDRs, "") {
		if o.Name != c.Name {
			others = append(others, prefixes(o)...)
		}
	}
	mine := prefixes(c)
	covered := !slices.ContainsFunc(mine, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(others, func(o netip.Prefix) bool { return o.Overlaps(p) && o.Bits() <= p.Bits() })
	})
	if covered {
		return false
	}
	for a := range view.List(v, resource.IPAddresses, "") {
		addr, ok := ours(a)
		from := func(p netip.Prefix) bool { return gives(p, addr) }
		if ok && slices.ContainsFunc(mine, from) && !slices.ContainsFunc(others, from) {
			return true
		}
	}
	return false
}

// ours is the address of a Service.
func ours(a *networkingv1.IPAddress) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(a.Name)
	return addr, err == nil && a.Labels[networkingv1.LabelManagedBy] == managedBy
}

// gives tells whether an address can come from a range: its network's address, and
// the broadcast address of IPv4, never do.
func gives(p netip.Prefix, addr netip.Addr) bool {
	if !p.Contains(addr) || addr == p.Masked().Addr() {
		return false
	}
	next := addr.Next()
	return !addr.Is4() || next.IsValid() && p.Contains(next)
}

func prefixes(c *networkingv1.ServiceCIDR) (list []netip.Prefix) {
	for _, cidr := range c.Spec.CIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil { // validation lets in nothing else
			list = append(list, p)
		}
	}
	return list
}
