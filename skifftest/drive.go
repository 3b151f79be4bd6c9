package skifftest

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/watchcache"
)

// driver runs everything that acts on the cluster in one goroutine, so that it
// knows when nothing is left to do.
type driver struct {
	cluster   *Cluster
	parts     *world.Parts
	recorders map[string]*event.Recorder
	reader    *watchcache.Reader
	kick      chan struct{}
	cancel    func()
	done      chan struct{}

	mu    sync.Mutex
	cond  *sync.Cond
	asked int // settlings wanted
	given int // settlings reached
	ended bool
	next  time.Time // when something is due; zero: nothing
}

func newDriver(ctx context.Context, c *Cluster, o *options) (*driver, error) {
	ctx, cancel := context.WithCancel(ctx)
	d := &driver{
		cluster: c, kick: make(chan struct{}, 1), done: make(chan struct{}), cancel: cancel,
		recorders: map[string]*event.Recorder{},
	}
	d.cond = sync.NewCond(&d.mu)
	api := c.world.API
	scheduling := d.recorder("default-scheduler", api.Local(controlplane.Scheduler()))
	var err error
	d.parts, err = c.world.Parts(ctx, world.Hands{
		As:       func(_ string, user authn.User) client.Client { return api.Local(user) },
		Kubelets: c.world.Kubelets(api.Cache()), Clock: c.clock, Log: o.log, Seed: o.seed, SchedulerSeed: o.seed,
		Notes: func(by controller.Controller, n event.Note) {
			d.recorder(by.Source(), api.Local(controlplane.ControllerUser(by.Name))).Record(n)
		},
		Events: scheduling,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	d.reader = api.Cache().Read(api.View().Revision(), resource.All()...)
	go d.run(ctx)
	return d, nil
}

// recorder is the one of a component. It belongs to the driver's goroutine.
func (d *driver) recorder(name string, c client.Client) *event.Recorder {
	r := d.recorders[name]
	if r == nil {
		r = event.NewRecorder(c, name, "", nil, d.cluster.clock)
		d.recorders[name] = r
	}
	return r
}

func (d *driver) run(ctx context.Context) {
	defer d.end()
	timer := d.cluster.clock.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		d.mu.Lock()
		asked := d.asked
		d.mu.Unlock()
		d.work(ctx)
		d.arm(timer)
		d.mu.Lock()
		d.given = asked
		d.cond.Broadcast()
		d.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-d.kick:
		case <-timer.C():
		case <-d.reader.Ready():
			d.read()
		}
	}
}

// work steps until everything is done that the cluster's present state asks for.
func (d *driver) work(ctx context.Context) {
	for ctx.Err() == nil {
		for d.parts.Step(ctx) {
			if ctx.Err() != nil {
				return
			}
		}
		for _, r := range d.recorders {
			r.Wait()
		}
		revision, err := d.cluster.mem.Revision(ctx)
		if err != nil {
			return
		}
		if _, err := d.cluster.world.API.Cache().WaitFor(ctx, revision); err != nil || !d.parts.Step(ctx) {
			return
		}
	}
}

// read forgets what has changed: the components have readers of their own.
func (d *driver) read() {
	if _, v, err := d.reader.Poll(); err != nil {
		d.reader.Close()
		d.reader = d.cluster.world.API.Cache().Read(v.Revision(), resource.All()...)
	}
}

// arm sets the timer to when the next component wants to be called.
func (d *driver) arm(timer clock.Timer) {
	var next time.Time
	for _, at := range []func() (time.Time, bool){d.parts.Next, d.cluster.mem.NextExpiry} {
		if t, ok := at(); ok && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	d.mu.Lock()
	d.next = next
	d.mu.Unlock()
	if !timer.Stop() {
		select {
		case <-timer.C():
		default:
		}
	}
	if !next.IsZero() {
		timer.Reset(max(0, next.Sub(d.cluster.clock.Now())))
	}
}

func (d *driver) end() {
	d.parts.Close()
	d.reader.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.cond.Broadcast()
	close(d.done)
}

func (d *driver) stop() {
	d.cancel()
	<-d.done
}

// settle returns when nothing is left to do at the present time, and says when
// something will be.
func (d *driver) settle() (next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	want := d.asked
	select {
	case d.kick <- struct{}{}:
	default:
	}
	for d.given < want && !d.ended {
		d.cond.Wait()
	}
	return d.next
}

// Settle returns when controllers, scheduler and nodes have done all that the
// cluster's state asks for at the present time. Whatever else works on the
// cluster, such as the operator under test, is not waited for.
func (c *Cluster) Settle() { c.driver.settle() }

// Advance lets virtual time pass. Everything that is due on the way happens at
// its time.
func (c *Cluster) Advance(by time.Duration) {
	c.t.Helper()
	if c.fake == nil {
		c.t.Fatal("advance time: the cluster lives in real time; start it with skifftest.VirtualTime()")
	}
	end := c.fake.Now().Add(by)
	for {
		next := c.driver.settle()
		if next.IsZero() || next.After(end) {
			break
		}
		c.setTime(next)
	}
	c.setTime(end)
	c.Settle()
}

func (c *Cluster) setTime(at time.Time) {
	if at.After(c.fake.Now()) {
		c.fake.SetTime(at)
	}
	c.mem.Expire()
}
