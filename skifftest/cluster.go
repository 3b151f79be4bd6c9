// Package skifftest gives a test a whole cluster inside its own process: the
// API server as in production over a store in memory, all controllers, the
// scheduler, and simulated nodes that run pods without containers. One starts in
// milliseconds, and many run at once.
//
//	func TestOperator(t *testing.T) {
//		c := skifftest.Start(t)
//		mgr, err := manager.New(c.Config(), ...) // any client works
//		...
//	}
//
// docs/guide/testing.md tells more.
package skifftest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/sim/fault"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/store/mem"
	"github.com/skiff-sh/skiff/view"
)

// Cluster is a running cluster. It ends with its test.
type Cluster struct {
	t      testing.TB
	world  *world.World
	clock  clock.WithTicker
	fake   *clocktesting.FakeClock // nil in real time
	mem    *mem.Store
	faults *fault.Store
	tokens *tokens
	driver *driver
	serve  func() *httptest.Server
}

// Start returns a running cluster, with its nodes registered and ready.
func Start(t testing.TB, options ...Option) *Cluster {
	t.Helper()
	o := defaults()
	for _, option := range options {
		option(&o)
	}
	c := &Cluster{t: t, tokens: newTokens()}
	c.clock = clock.RealClock{}
	var storeOptions mem.Options
	if o.virtual {
		c.fake = clocktesting.NewFakeClock(Epoch)
		c.clock, storeOptions.Now = c.fake, c.fake.Now
	}
	begin := world.Today
	if o.virtual {
		begin = world.AtEpoch
	}
	image, err := begin()
	if err != nil {
		t.Fatalf("make what every cluster begins with: %v", err)
	}
	c.mem = image.Store(storeOptions)
	c.faults = fault.New(c.mem, o.seed)
	ctx, cancel := context.WithCancel(context.Background())
	if err := c.start(ctx, cancel, image, &o); err != nil {
		cancel()
		t.Fatalf("start a cluster: %v", err)
	}
	c.Settle()
	c.faults.Set(o.faults)
	return c
}

func (c *Cluster) start(ctx context.Context, cancel func(), image world.Image, o *options) error {
	var err error
	c.world, err = world.New(world.Config{Store: c.faults, Now: c.clock.Now, Log: o.log, Tokens: []authn.Token{c.tokens}})
	if err != nil {
		return err
	}
	api := c.world.API
	image.Adopt(c.world)
	fed := make(chan error, 1)
	go func() { fed <- api.Feed(ctx) }()
	var server *httptest.Server
	c.serve = sync.OnceValue(func() *httptest.Server { server = httptest.NewServer(api); return server })
	c.t.Cleanup(func() {
		c.faults.Set(fault.Rates{})
		api.Stop()
		if server != nil {
			server.Close()
		}
		if c.driver != nil {
			c.driver.stop()
		}
		cancel()
		if err := <-fed; err != nil {
			c.t.Errorf("feed the cluster's view: %v", err)
		}
		c.mem.Close() //nolint:errcheck // memory
	})
	for _, n := range o.nodes {
		if _, err := c.Client().Do(ctx, client.Create(nodes, n)); err != nil {
			return err
		}
	}
	c.driver, err = newDriver(ctx, c, o)
	return err
}

// Client reads and changes the cluster in this process, as an administrator.
func (c *Cluster) Client() client.Client { return c.world.API.Local(world.Admin()) }

// View is the cluster as it is now.
func (c *Cluster) View() *view.View { return c.world.API.View() }

// Now is the cluster's time.
func (c *Cluster) Now() time.Time { return c.clock.Now() }

// Epoch is when every cluster in virtual time begins.
var Epoch = world.Epoch

// LoseNode makes a node do nothing any more, as if its machine were gone.
func (c *Cluster) LoseNode(name string) { c.mark(name, kubelet.Lost) }

// RestoreNode makes a lost node work again.
func (c *Cluster) RestoreNode(name string) { c.mark(name, kubelet.Works) }

func (c *Cluster) mark(name, state string) {
	c.t.Helper()
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{kubelet.Simulated: state}}}
	if _, err := c.Client().Do(c.t.Context(), client.MergePatch(nodes, "", name, "", patch)); err != nil {
		c.t.Fatalf("change node %s: %v", name, err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
