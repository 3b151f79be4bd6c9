package plugin

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// The codes of Fit: what there is too little of, a bit each. Other resources
// follow firstOther in the order in which the pod has them.
const (
	tooManyPods Code = 1 << iota
	tooLittleCPU
	tooLittleMemory
	tooLittleEphemeral
	firstOther
)

// maxOthers is how many other resources have a bit of their own.
const maxOthers = 26

// Fit keeps pods off nodes that have too little left of what they request, or
// hold as many pods as they may.
func Fit(o FitOptions) Filter {
	return Filter{
		Name:  "NodeResourcesFit",
		Wakes: snapshot.NodeAdded | snapshot.NodeAllocatable | snapshot.PodFreed,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			d := &demand{Resources: &pod.Requests, others: o.counted(pod.Requests.Others)}
			if pod.Requests.IsZero() {
				return Check{Reject: func(n *snapshot.Node) Code {
					if len(n.Pods) >= n.MaxPods {
						return tooManyPods
					}
					return 0
				}, Explain: d.explain}
			}
			return Check{Reject: d.reject, Explain: d.explain}
		},
	}
}

// demand is what a pod requests.
type demand struct {
	*snapshot.Resources
	others []snapshot.Amount // those that are looked at
}

// counted leaves out the extended resources that are to be ignored.
func (o *FitOptions) counted(others []snapshot.Amount) []snapshot.Amount {
	kept := slices.DeleteFunc(slices.Clone(others), func(a snapshot.Amount) bool {
		prefix, _, extended := strings.Cut(string(a.Name), "/")
		return a.Value <= 0 || extended && (slices.Contains(o.IgnoredResources, string(a.Name)) || slices.Contains(o.IgnoredResourceGroups, prefix))
	})
	return kept[:min(len(kept), maxOthers)]
}

func (d *demand) reject(n *snapshot.Node) (code Code) {
	if len(n.Pods) >= n.MaxPods {
		code |= tooManyPods
	}
	if d.MilliCPU > 0 && d.MilliCPU > n.Allocatable.MilliCPU-n.Requested.MilliCPU {
		code |= tooLittleCPU | never(d.MilliCPU > n.Allocatable.MilliCPU)
	}
	if d.Memory > 0 && d.Memory > n.Allocatable.Memory-n.Requested.Memory {
		code |= tooLittleMemory | never(d.Memory > n.Allocatable.Memory)
	}
	if d.Ephemeral > 0 && d.Ephemeral > n.Allocatable.Ephemeral-n.Requested.Ephemeral {
		code |= tooLittleEphemeral | never(d.Ephemeral > n.Allocatable.Ephemeral)
	}
	for i := range d.others {
		o := &d.others[i]
		if there := n.Allocatable.Other(o.Name); o.Value > there-n.Requested.Other(o.Name) {
			code |= firstOther<<i | never(o.Value > there)
		}
	}
	return code
}

// never is Unresolvable where even an empty node has too little.
func never(too bool) Code {
	if too {
		return Unresolvable
	}
	return 0
}

func (d *demand) explain(n *snapshot.Node, code Code) (list []Reason) {
	add := func(bit Code, name corev1.ResourceName, wanted, used, amount int64) {
		if code&bit != 0 {
			list = append(list, Reason{Kind: Insufficient, Text: "Insufficient " + string(name), Resource: name, Wanted: wanted, Used: used, Amount: amount})
		}
	}
	if code&tooManyPods != 0 {
		list = append(list, Reason{Kind: Insufficient, Text: "Too many pods", Resource: corev1.ResourcePods, Wanted: 1, Used: int64(len(n.Pods)), Amount: int64(n.MaxPods)})
	}
	add(tooLittleCPU, corev1.ResourceCPU, d.MilliCPU, n.Requested.MilliCPU, n.Allocatable.MilliCPU)
	add(tooLittleMemory, corev1.ResourceMemory, d.Memory, n.Requested.Memory, n.Allocatable.Memory)
	add(tooLittleEphemeral, corev1.ResourceEphemeralStorage, d.Ephemeral, n.Requested.Ephemeral, n.Allocatable.Ephemeral)
	for i, o := range d.others {
		add(firstOther<<i, o.Name, o.Value, n.Requested.Other(o.Name), n.Allocatable.Other(o.Name))
	}
	return list
}
