// Package nodeipam gives every node its range of pod addresses, one of each
// family: spec.podCIDRs, which never changes once it is set.
package nodeipam

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Name is the controller's name. It acts as upstream's, which shares the account
// of the controller of nodes' lives.
const Name = "node-ipam"

// Config is what nodes get their ranges from.
type Config struct {
	Ranges []Range        // one of each family
	Never  []netip.Prefix // no node's: those of services
	Kept   []netip.Prefix // only for nodes that ask for them
}

// nodes is the one key: who gets which range depends on what all others have. A
// plan is followed by no other before the view has its last write, so no two nodes
// get the same range.
var nodes = []view.Key{{Name: "nodes"}}

// Controller returns the controller of nodes' ranges.
func Controller(config Config) controller.Controller {
	return controller.Controller{
		Name: Name, EventSource: "cidrAllocator",
		Reads:  []controller.Input{{Kind: resource.Nodes.Info, Keys: concerned}},
		Writes: []controller.Output{{Kind: resource.Nodes.Info, Verbs: []resource.Verb{resource.Patch}}},
		Reconcile: func(v *view.View, _ view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			return reconcile(v, config)
		},
	}
}

// concerned: a node without a range wants one, and one that goes leaves its own.
func concerned(v *view.View, obj resource.Object) []view.Key {
	if _, ok := view.Get(v, resource.Nodes, "", obj.GetName()); ok && len(obj.(*corev1.Node).Spec.PodCIDRs) > 0 {
		return nil
	}
	return nodes
}

func reconcile(v *view.View, config Config) controller.Plan {
	var without []*corev1.Node
	used := slices.Clone(config.Never)
	for node := range view.List(v, resource.Nodes, "") {
		if len(node.Spec.PodCIDRs) > 0 {
			used = append(used, parse(node.Spec.PodCIDRs)...)
		} else if node.DeletionTimestamp == nil {
			without = append(without, node)
		}
	}
	if len(without) == 0 {
		return controller.Plan{}
	}
	var pools []*pool
	for _, r := range config.Ranges {
		pools = append(pools, newPool(r, used, config.Kept))
	}
	// Who asks for a range comes before who takes any.
	ranges := make([][]netip.Prefix, len(without))
	for i, node := range without {
		for _, p := range pools {
			ranges[i] = append(ranges[i], p.ask(wanted(node)))
		}
	}
	plan := controller.Plan{Failed: failed(without)}
	for i, node := range without {
		if texts, ok := fill(pools, ranges[i]); ok {
			plan.Do = append(plan.Do, assign(node, texts))
		} else {
			plan.Events = append(plan.Events, status(node, "CIDRNotAvailable"))
		}
	}
	return plan
}

// wanted is what a node asks for: the ranges that its pods are in already.
func wanted(node *corev1.Node) []netip.Prefix {
	return parse(strings.Split(node.Annotations[resource.PodCIDRsWanted], ","))
}

// parse leaves out what is no range.
func parse(texts []string) []netip.Prefix {
	var ranges []netip.Prefix
	for _, text := range texts {
		if r, err := netip.ParsePrefix(text); err == nil {
			ranges = append(ranges, r.Masked())
		}
	}
	return ranges
}

// fill returns a range of each family: what a node has been given, or the first that
// is free.
func fill(pools []*pool, given []netip.Prefix) ([]string, bool) {
	var texts []string
	for i, p := range pools {
		r := given[i]
		if !r.IsValid() {
			r = p.first()
		}
		if !r.IsValid() {
			return nil, false
		}
		texts = append(texts, r.String())
	}
	return texts, len(texts) > 0
}

func assign(node *corev1.Node, ranges []string) client.Op {
	op := client.MergePatch(resource.Nodes, "", node.Name, "", map[string]any{
		"metadata": map[string]any{"uid": node.UID},
		"spec":     map[string]any{"podCIDR": ranges[0], "podCIDRs": ranges},
	})
	op.Cause = "node " + node.Name + " has no range of pod addresses"
	return op
}

// failed tells of a node that could not be given its range, and has all be tried
// again.
func failed(without []*corev1.Node) func(client.Op, error) controller.Plan {
	return func(op client.Op, err error) controller.Plan {
		plan := controller.Plan{Err: err}
		at := slices.IndexFunc(without, func(n *corev1.Node) bool { return n.Name == op.Name })
		if at >= 0 && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			plan.Events = []controller.Note{status(without[at], "CIDRAssignmentFailed")}
		}
		return plan
	}
}

func status(node *corev1.Node, reason string) controller.Note {
	return controller.Note{Note: event.Note{
		About: node, Kind: resource.Nodes.Info, Reason: reason, Message: "Node " + node.Name + " status is now: " + reason,
	}}
}
