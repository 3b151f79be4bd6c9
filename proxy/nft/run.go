package nft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Deps is what Run needs. The node must forward packets, and the pods' bridge
// hand its frames to the IP filter.
type Deps struct {
	// Cache is the view of the cluster, complete for services, endpoint
	// slices, nodes, pods, namespaces and network policies when Run is called.
	Cache *watchcache.Cache
	// Config is the node's. Zone follows the Node object; so do NodeIPs if
	// they are empty here.
	Config proxy.Config
	Table  string // name of our table, one a cluster: "skiff-default"
	Netns  int    // file descriptor of a network namespace; 0 is our own
	Ready  func() // called once the first rules are in the kernel; may be nil
	Log    *slog.Logger
}

// Run keeps the kernel's rules as the view wants them until the context ends.
// The rules stay behind, so that services work while we are away; Purge takes
// them out.
func Run(ctx context.Context, d Deps) error {
	w, err := Open(d.Table, d.Netns)
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := NewWatch(w, d.Netns)
	if err != nil {
		return err
	}
	r := &runner{deps: d, w: w, disturbed: make(chan Disturbance, 1)}
	watching := make(chan error, 1)
	go func() {
		watching <- watch.Run(ctx, r.disturb)
		cancel()
	}()
	err = r.loop(ctx)
	cancel()
	return errors.Join(err, <-watching)
}

// runner is the state of Run. Only its goroutine uses it, but for disturbed.
type runner struct {
	deps      Deps
	w         *Writer
	follower  *follower
	reader    *watchcache.Reader
	disturbed chan Disturbance
	truce     proxy.Truce
	mend      *time.Timer // runs while the kernel is known to differ
}

// disturb hands a disturbance over; one that waits already stands for all.
func (r *runner) disturb(d Disturbance) {
	select {
	case r.disturbed <- d:
	default:
	}
}

func (r *runner) loop(ctx context.Context) error {
	r.mend = time.NewTimer(0)
	defer r.mend.Stop()
	<-r.mend.C
	r.restart()
	defer func() { r.reader.Close() }()
	if err := r.sync(); err != nil {
		return err
	}
	if r.deps.Ready != nil {
		r.deps.Ready()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.reader.Ready():
			r.follow()
		case d := <-r.disturbed:
			r.clash(d)
		case <-r.mend.C:
			if err := r.sync(); err != nil {
				r.later(err)
			}
		}
	}
}

// restart reads the whole view.
func (r *runner) restart() {
	v := r.deps.Cache.View()
	if r.reader != nil {
		r.reader.Close()
	}
	r.reader = r.deps.Cache.Read(v.Revision(), followed()...)
	r.follower = newFollower(nodeConfig(r.deps.Config, v), v)
}

// sync writes everything, and forgets flows that have gone astray meanwhile.
func (r *runner) sync() error {
	rules := r.follower.book.Ruleset()
	if err := r.w.Sync(rules); err != nil {
		return err
	}
	return r.forget(proxy.Diff(proxy.Ruleset{}, rules))
}

func (r *runner) forget(c proxy.Changes) error {
	stale, any := r.follower.book.Stale(c)
	if !any {
		return nil
	}
	_, err := ForgetFlows(r.deps.Netns, stale)
	return err
}

// follow takes in what has changed since the last time, however much, as one
// change of the kernel.
func (r *runner) follow() {
	changes, v, err := r.reader.Poll()
	if err != nil || !reflect.DeepEqual(nodeConfig(r.deps.Config, v), r.follower.config) {
		r.restart()
		if err := r.sync(); err != nil {
			r.later(err)
		}
		return
	}
	c := r.follower.take(changes, v)
	if c.Empty() {
		return
	}
	if err := r.w.Apply(c); err != nil {
		r.later(err)
		return
	}
	if err := r.forget(c); err != nil {
		r.deps.Log.Warn("forget UDP flows", "error", err)
	}
}

// later plans a full write after something went wrong.
func (r *runner) later(err error) {
	var wait time.Duration
	r.truce, wait = r.truce.Clash(time.Now())
	r.deps.Log.Warn("write service rules", "error", err, "again_in", wait)
	r.mend.Reset(wait)
}

// clash restores our rules after somebody else has changed them.
func (r *runner) clash(d Disturbance) {
	if d == Lost {
		if same, err := r.w.Check(r.follower.book.Ruleset()); err == nil && same {
			return
		}
	}
	r.later(fmt.Errorf("table %s was changed by another program", r.deps.Table))
}

// nodeConfig completes a configuration from the Node object.
func nodeConfig(c proxy.Config, v *view.View) proxy.Config {
	n, ok := view.Get(v, resource.Nodes, "", c.Node)
	if !ok {
		return c
	}
	c.Zone = n.Labels[corev1.LabelTopologyZone]
	if len(c.NodeIPs) > 0 {
		return c
	}
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			c.NodeIPs = append(c.NodeIPs, ip)
		}
	}
	return c
}
