// Package election has one of several servers act for all: the one that holds
// the Lease Name in kube-system.
//
// A leader that nobody waits to succeed writes nothing; one that others wait for
// renews several times a second, and they take over when it is silent for
// longer than that. What it does is fenced: its writes hold only while the lease
// is the one that it took (store.Guard), so a leader that was paused, or whose
// clock stood still, changes nothing once another leads.
package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Namespace is where the leases are.
const Namespace = metav1.NamespaceSystem

// Term is one time of leading.
type Term struct {
	// Revision is the store's revision at which the lease was created for this
	// term. It is what fences the leader's writes.
	Revision int64
	uid      types.UID
}

// Config is what Run needs beside a client.
type Config struct {
	Name string // of the lease
	// ID tells this server from the others. It stays the same over restarts: a
	// server that comes back need not wait for its own lease.
	ID    string
	Clock clock.WithTicker // the real one if nil
	Log   *slog.Logger
}

// Run takes part in the election until ctx ends, and returns its cause. While
// this server leads it runs lead, whose context ends when leadership does; the
// next term does not begin before lead has returned. When ctx ends the lease is
// given up at once.
func Run(ctx context.Context, c client.Client, cfg Config, lead func(ctx context.Context, term Term)) error {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	p := &participant{Config: cfg, client: c, lead: lead, state: state{name: cfg.Name, me: cfg.ID}}
	timer := cfg.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	reader := p.read()
	defer func() { reader.Close() }()
	for {
		p.act(ctx, timer)
		select {
		case <-ctx.Done():
			p.resign()
			return context.Cause(ctx)
		case <-timer.C():
		case <-reader.Ready():
			if _, _, err := reader.Poll(); err != nil {
				reader.Close()
				reader = p.read()
			}
		}
	}
}

// participant belongs to Run's goroutine.
type participant struct {
	Config
	client client.Client
	lead   func(ctx context.Context, term Term)
	state  state
	stop   func() // ends lead and waits for it; nil while not leading
	told   string // the error logged last
}

func (p *participant) read() *watchcache.Reader {
	cache := p.client.Cache()
	// Not the nodes' leases: they are renewed all the time.
	return cache.ReadBucket(cache.View().Revision(), resource.Leases.Info, watchcache.Bucket{Namespace: Namespace})
}

// act does what is due, and sets the timer to what comes next.
func (p *participant) act(ctx context.Context, timer clock.Timer) {
	for ctx.Err() == nil {
		v, now := p.client.Cache().View(), p.Clock.Now()
		p.state.observe(v, now)
		do, about, until := p.state.next(v, now)
		if do == wait {
			if until.IsZero() {
				timer.Stop()
			} else {
				timer.Reset(until.Sub(now))
			}
			return
		}
		if err := p.perform(ctx, do, about, now); err != nil {
			p.report(do, err)
			timer.Reset(renewEvery)
			return
		}
		p.told = ""
	}
}

// report logs what goes wrong, once while it goes on. That another was quicker is
// the course of things.
func (p *participant) report(do deed, err error) {
	if text := err.Error(); text != p.told && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
		p.told = text
		p.Log.Warn("taking part in the election", "lease", p.Name, "deed", do.String(), "err", err)
	}
}

func (p *participant) perform(ctx context.Context, do deed, about *coordinationv1.Lease, now time.Time) error {
	switch do {
	case take:
		return p.take(ctx, about, now)
	case leave:
		p.leave()
		return nil
	case forget:
		_, err := p.do(ctx, client.Delete(resource.Leases, about))
		return err
	case announce:
		p.state.announced = now
		return p.announce(ctx, about, now)
	}
	// A renewal counts from when it was sent: the others see it later.
	_, err := p.do(ctx, client.Update(resource.Leases, renewed(about, now)))
	if err == nil {
		p.state.renewed = now
	}
	return err
}

// do makes a change within the time after which it would be of no use.
func (p *participant) do(ctx context.Context, op client.Op) (resource.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	return p.client.Do(ctx, op)
}

// take makes the lease anew: its creation is what tells one term from another.
func (p *participant) take(ctx context.Context, old *coordinationv1.Lease, now time.Time) error {
	transitions := int32(0)
	if old != nil {
		if holder(old) != p.ID {
			transitions = ptr.Deref(old.Spec.LeaseTransitions, 0) + 1
		}
		op := client.Delete(resource.Leases, old)
		op.Delete.Preconditions.ResourceVersion = &old.ResourceVersion
		if _, err := p.do(ctx, op); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	lease := p.lease(p.Name, now)
	lease.Spec.AcquireTime, lease.Spec.LeaseTransitions = lease.Spec.RenewTime, &transitions
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(1)) // rounded up: the API counts in seconds
	obj, err := p.do(ctx, client.Create(resource.Leases, lease))
	if err != nil {
		return err
	}
	revision, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return fmt.Errorf("read the lease's revision: %w", err)
	}
	p.state.term, p.state.renewed = Term{Revision: revision, uid: obj.GetUID()}, now
	p.Log.Info("this server leads", "lease", p.Name, "id", p.ID)
	p.begin(ctx)
	return nil
}

func (p *participant) begin(ctx context.Context) {
	leading, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	term := p.state.term
	go func() {
		defer close(done)
		p.lead(leading, term)
	}()
	p.stop = func() { cancel(errLost); <-done }
}

// errLost ends what a leader does.
var errLost = errors.New("another server leads")

func (p *participant) leave() {
	if p.stop == nil {
		return
	}
	p.stop()
	p.stop, p.state.term = nil, Term{}
	p.Log.Info("this server leads no more", "lease", p.Name, "id", p.ID)
}

func (p *participant) announce(ctx context.Context, own *coordinationv1.Lease, now time.Time) error {
	if own != nil {
		_, err := p.do(ctx, client.Update(resource.Leases, renewed(own, now)))
		return err
	}
	lease := p.lease(p.state.candidate(), now)
	lease.Labels = map[string]string{candidateFor: p.Name}
	_, err := p.do(ctx, client.Create(resource.Leases, lease))
	return err
}

func (p *participant) lease(name string, now time.Time) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &p.ID, RenewTime: ptr.To(metav1.NewMicroTime(now))},
	}
}

func renewed(l *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	l = l.DeepCopy()
	l.Spec.RenewTime = ptr.To(metav1.NewMicroTime(now))
	return l
}

// resign gives up what this server holds, so that another need not wait.
func (p *participant) resign() {
	name, uid := p.state.candidate(), p.state.term.uid
	leading := p.stop != nil
	if leading {
		p.leave()
		name = p.Name
	}
	own, ok := view.Get(p.client.Cache().View(), resource.Leases, Namespace, name)
	if !ok || leading && own.UID != uid {
		return
	}
	if _, err := p.do(context.Background(), client.Delete(resource.Leases, own)); err != nil {
		p.Log.Info("giving up the lease", "lease", p.Name, "err", err)
	}
}
