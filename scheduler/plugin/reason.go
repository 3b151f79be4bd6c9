package plugin

import (
	corev1 "k8s.io/api/core/v1"
)

// Reason says why a pod does not fit a node.
type Reason struct {
	Kind ReasonKind
	// Text is the reason in upstream's words, as it stands in messages.
	Text string

	// Of Insufficient: how much of what the pod asks for, is in use and is there,
	// in thousandths of a core for cpu.
	Resource             corev1.ResourceName
	Wanted, Used, Amount int64
	// Of Tainted: the first taint that is not tolerated.
	Taint corev1.Taint
	// Of a rule about other pods or labels: the place, or the part of the pod's
	// spec, that it is about.
	Term string
}

// ReasonKind is what a reason is about.
type ReasonKind uint8

// The kinds of reasons.
const (
	Other ReasonKind = iota
	Insufficient
	Tainted
	Cordoned
	Labels   // node affinity and selector
	HostPort // taken
	Affinity // no pod is there that should be
	AntiAffinity
	Repelled // by the anti-affinity of pods that are there
	Skew     // of a topology spread constraint
	NoDomain // the node has no label for a topology spread constraint
	Volume
	NotNamed // another node was asked for by name
)

// Missing is how much more of the resource the node would need.
func (r *Reason) Missing() int64 { return r.Wanted - (r.Amount - r.Used) }

// always returns an Explain of one reason that never differs.
func always(kind ReasonKind, text string) []Reason { return []Reason{{Kind: kind, Text: text}} }
