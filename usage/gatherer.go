// Package usage gathers from the nodes what they and their pods use. Nodes are
// asked only when somebody asks here: one who does so for the first time waits for
// two readings.
package usage

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	// fresh is how long a reading answers for the load of now.
	fresh = 5 * time.Second
	// gatherLimit is how long it may take to gather with nobody waiting.
	gatherLimit = time.Minute
	// forgotten is when readings are dropped that nobody has asked for again.
	forgotten = 5 * time.Minute
	// nodesAtOnce is how many nodes are asked at the same time, and nodeLimit how
	// long one may take.
	nodesAtOnce = 16
	nodeLimit   = 5 * time.Second
)

// Config says where the load is gathered from.
type Config struct {
	View func() *view.View
	// Ask returns a node's answer to /metrics/resource.
	Ask func(context.Context, *corev1.Node) ([]byte, error)
	Log *slog.Logger
}

// Gatherer keeps the readings that rates are told from, as long as somebody asks
// for them.
type Gatherer struct {
	config Config
	// turn is held by who asks the nodes: others wait, and have the same answer.
	turn chan struct{}

	mu       sync.Mutex
	begun    bool // for Begin
	nodes    map[string][]sample
	load     *Load
	gathered time.Time
	forget   *time.Timer
}

// New returns a gatherer without readings.
func New(config Config) *Gatherer {
	return &Gatherer{config: config, turn: make(chan struct{}, 1), load: &Load{}}
}

// Known returns what was gathered last; false if that is no more the load of now.
func (g *Gatherer) Known() (*Load, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.load, time.Since(g.gathered) < fresh
}

// Begin gathers the load of now with nobody waiting for it, unless that has begun
// already.
func (g *Gatherer) Begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.begun {
		return
	}
	g.begun = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), gatherLimit)
		defer cancel()
		if _, err := g.Load(ctx); err != nil {
			g.config.Log.Debug("the load is not known", "err", err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.begun = false
	}()
}

// Load returns the load of now. Nodes that do not answer are not in it.
func (g *Gatherer) Load(ctx context.Context) (*Load, error) {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the nodes' answers: %w", context.Cause(ctx))
	}
	if load, ok := g.Known(); ok {
		return load, nil
	}
	if again := g.gather(ctx, false); again {
		select {
		case <-time.After(windowLeast):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a second reading: %w", context.Cause(ctx))
		}
		g.gather(ctx, true)
	}
	load, _ := g.Known()
	return load, nil
}

// gather takes a reading of every node, and tells whether a second one is needed
// to tell rates.
func (g *Gatherer) gather(ctx context.Context, second bool) (again bool) {
	read := g.read(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	nodes := map[string][]sample{}
	for name, s := range read {
		nodes[name] = push(g.nodes[name], s)
	}
	g.nodes, g.load = nodes, loadOf(nodes)
	again = !second && !settled(nodes)
	if !again && ctx.Err() == nil {
		g.gathered = time.Now()
	}
	if g.forget == nil {
		g.forget = time.AfterFunc(forgotten, g.drop)
	}
	g.forget.Reset(forgotten)
	return again
}

// read asks all nodes.
func (g *Gatherer) read(ctx context.Context) map[string]sample {
	var group errgroup.Group
	group.SetLimit(nodesAtOnce)
	var mu sync.Mutex
	read := map[string]sample{}
	for node := range view.List(g.config.View(), resource.Nodes, "") {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, nodeLimit)
			defer cancel()
			answer, err := g.config.Ask(ctx, node)
			var s sample
			if err == nil {
				s, err = parse(answer, time.Now())
			}
			if err != nil {
				g.config.Log.Debug("what a node uses is not known", "node", node.Name, "err", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			read[node.Name] = s
			return nil
		})
	}
	group.Wait() //nolint:errcheck // a node that does not answer is left out
	return read
}

// drop forgets everything: nobody has asked for a while.
func (g *Gatherer) drop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nodes, g.load, g.gathered = nil, &Load{}, time.Time{}
}
