package skifftest

import (
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/fault"
	"github.com/skiff-sh/skiff/sim/kubelet"
)

var nodes = resource.Nodes

// Option changes what Start starts.
type Option func(*options)

type options struct {
	virtual bool
	seed    uint64
	faults  fault.Rates
	log     *slog.Logger
	nodes   []*corev1.Node
}

func defaults() options {
	o := options{log: discard()}
	Nodes(3)(&o)
	return o
}

// VirtualTime makes the cluster's clock stand still but for Advance.
func VirtualTime() Option { return func(o *options) { o.virtual = true } }

// Nodes makes that many simulated nodes, node-1 and so on, each with 8 CPUs,
// 32 GiB of memory and room for 110 pods. Without it there are three.
func Nodes(count int) Option {
	return func(o *options) {
		o.nodes = nil
		for i := range count {
			o.nodes = append(o.nodes, kubelet.Node(fmt.Sprintf("node-%d", i+1), "8", "32Gi", 110))
		}
	}
}

// Faults makes the cluster's store fail, by a seed and as often as rates say,
// once the cluster is up: every client sees timeouts of writes that did or did
// not happen, and watches that must begin anew.
func Faults(seed uint64, rates Rates) Option {
	return func(o *options) { o.seed, o.faults = seed, rates }
}

// Rates are how often faults happen, from 0 to 1.
type Rates = fault.Rates

// Log tells what the components have to say. Without it nothing is told.
func Log(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// Annotations that tell simulated pods how to behave: durations such as "10s",
// and the number that their containers end with.
const (
	StartAfter  = kubelet.StartAfter
	StopAfter   = kubelet.StopAfter
	FinishAfter = kubelet.FinishAfter
	ExitCode    = kubelet.ExitCode
	Unready     = kubelet.Unready
)
