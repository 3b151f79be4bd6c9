// Package endpointslicemirroring keeps EndpointSlices of Endpoints that people
// write by hand, so that whoever reads slices sees these addresses too (KEP-752).
package endpointslicemirroring

import (
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/endpoint"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	// managedBy marks the slices that are ours.
	managedBy = "endpointslicemirroring-controller.k8s.io"
	// most addresses of one slice, and so of those that have the same ports.
	most = 1000
	// leader marks Endpoints that are the lock of an election, as was done once.
	leader = "control-plane.alpha.kubernetes.io/leader"
)

// Controller returns the controller.
func Controller() controller.Controller {
	own := func(_ *view.View, obj resource.Object) []view.Key { return []view.Key{view.KeyOf(obj)} }
	return controller.Controller{
		Name: "endpointslicemirroring",
		For:  resource.Endpoints.Info,
		Reads: []controller.Input{
			{Kind: resource.Services.Info, Keys: own},
			{Kind: resource.EndpointSlices.Info, Keys: endpoint.SlicesOf(managedBy)},
		},
		Writes: []controller.Output{
			{Kind: resource.EndpointSlices.Info, Verbs: []resource.Verb{resource.Create, resource.Update, resource.Delete}},
		},
		Reconcile: reconcile,
	}
}

func reconcile(v *view.View, key view.Key, _ time.Time, rnd *rand.Rand) controller.Plan {
	var existing []*discoveryv1.EndpointSlice
	for s := range view.By(v, resource.EndpointSlices, resource.EndpointSliceServiceIndex, key.String()) {
		if s.Labels[discoveryv1.LabelManagedBy] == managedBy && s.DeletionTimestamp == nil {
			existing = append(existing, s)
		}
	}
	endpoints, ok := view.Get(v, resource.Endpoints, key.Namespace, key.Name)
	svc, served := view.Get(v, resource.Services, key.Namespace, key.Name)
	if !ok || !mirrored(endpoints) || !served || svc.Spec.Selector != nil {
		return controller.Plan{Do: deletes(existing)}
	}
	groups, invalid, skipped := read(endpoints)
	plan := controller.Plan{Do: writes(endpoints, groups, existing, rnd)}
	complain := func(reason, message string) {
		var n controller.Note
		n.About, n.Kind, n.Warning, n.Reason, n.Message = endpoints, resource.Endpoints.Info, true, reason, message
		plan.Events = append(plan.Events, n)
	}
	if len(plan.Do) == 0 {
		return plan // all this was said before
	}
	if invalid > 0 {
		complain("InvalidIPAddress", fmt.Sprintf("Skipped %d invalid IP addresses when mirroring to EndpointSlices", invalid))
	}
	if skipped > invalid {
		complain("TooManyAddressesToMirror", fmt.Sprintf(
			"A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %d addresses were skipped", most, skipped))
	}
	return plan
}

// mirrored says whether endpoints are to be mirrored where their Service has no
// selector.
func mirrored(endpoints *corev1.Endpoints) bool {
	_, elects := endpoints.Annotations[leader]
	return endpoints.Labels[discoveryv1.LabelSkipMirror] != "true" && !elects
}

func deletes(existing []*discoveryv1.EndpointSlice) []client.Op {
	var ops []client.Op
	for _, s := range existing {
		ops = append(ops, client.Delete(resource.EndpointSlices, s))
	}
	return ops
}
