package nodelifecycle

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// excludeDisruption is the label of nodes that say nothing about the others.
const excludeDisruption = "node.kubernetes.io/exclude-disruption"

// zone is the nodes that a single fault may take down together. Where many are
// down at once, the fault is likelier with what connects them than with each of
// them, and evictions slow down or stop.
type zone struct {
	ready, down int
	next        *corev1.Node // of those that wait for a taint that evicts, the longest down
	last        time.Time    // when a node got such a taint
}

// survey is all zones as they are now, by name.
type survey map[string]*zone

func zoneOf(node *corev1.Node) string {
	return node.Labels[corev1.LabelTopologyRegion] + "/" + node.Labels[corev1.LabelTopologyZone]
}

func surveyOf(v *view.View) survey {
	zones := survey{}
	for node := range view.List(v, resource.Nodes, "") {
		z := zones[zoneOf(node)]
		if z == nil {
			z = &zone{}
			zones[zoneOf(node)] = z
		}
		if _, excluded := node.Labels[excludeDisruption]; !excluded {
			if isReady(node) {
				z.ready++
			} else {
				z.down++
			}
		}
		if at, evicts := evictsSince(node); evicts {
			z.last = later(z.last, at)
		} else if troubleOf(node) != "" && (z.next == nil || downBefore(node, z.next)) {
			z.next = node
		}
	}
	return zones
}

// downBefore orders nodes by when they went down.
func downBefore(a, b *corev1.Node) bool {
	since := func(n *corev1.Node) time.Time { return condition(n, corev1.NodeReady).LastTransitionTime.Time }
	return cmp.Or(since(a).Compare(since(b)), cmp.Compare(a.Name, b.Name)) < 0
}

// allDown says whether no node at all is ready. Then nothing is evicted, and
// what was to be is not any more.
func (s survey) allDown() bool {
	down := 0
	for _, z := range s {
		if z.ready > 0 {
			return false
		}
		down += z.down
	}
	return down > 0
}

// interval returns the time between two nodes of a zone that begin to evict; 0
// where none may.
func (z *zone) interval(config Config) time.Duration {
	rate := config.EvictionRate
	nodes := z.ready + z.down
	// Of a zone without any ready node too the rate is the usual one: the others
	// have room for its pods.
	if z.ready > 0 && z.down > 2 && float64(z.down)/float64(nodes) >= config.UnhealthyZone {
		if nodes <= config.LargeCluster {
			return 0
		}
		rate = config.SecondaryEvictionRate
	}
	return time.Duration(float64(time.Second) / rate)
}

// mayEvict says whether a node in trouble is to evict its pods, or in how long
// it may be its turn; where both are zero, the change of another node will tell.
//
// The time of the last taint is the rate limiter's only memory, and only the
// node that is first in its zone may go. So neither a restart nor two calls at
// once evict faster.
func (s survey) mayEvict(node *corev1.Node, now time.Time, config Config) (yes bool, wait time.Duration) {
	if troubleOf(node) == "" || s.allDown() {
		return false, 0
	}
	if _, evicts := evictsSince(node); evicts {
		return true, 0
	}
	z := s[zoneOf(node)]
	interval := z.interval(config)
	if interval == 0 || z.next.Name != node.Name {
		return false, 0
	}
	if left := z.last.Add(interval).Sub(now); left > 0 {
		return false, left
	}
	return true, 0
}

// othersToTaint names the nodes whose taints that evict depend on the nodes'
// states: the first in each zone, or all that evict once nothing shall.
func othersToTaint(v *view.View, obj resource.Object) []view.Key {
	zones := surveyOf(v)
	var keys []view.Key
	if zones.allDown() {
		for node := range view.List(v, resource.Nodes, "") {
			if _, evicts := evictsSince(node); evicts && troubleOf(node) != "" && node.Name != obj.GetName() {
				keys = append(keys, view.KeyOf(node))
			}
		}
		return keys
	}
	for _, z := range zones {
		if z.next != nil && z.next.Name != obj.GetName() {
			keys = append(keys, view.KeyOf(z.next))
		}
	}
	return keys
}
