package event

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

const (
	// pending bounds the notes that wait to be written; more are dropped, since
	// events are a courtesy and memory is not.
	pending = 1000
	// patience is how long one event may take to be written.
	patience = 10 * time.Second
)

// Recorder writes notes as events of one component. It is safe for use by many
// goroutines. It has a goroutine only while there is something to write.
type Recorder struct {
	client client.Client
	log    *slog.Logger
	clock  clock.PassiveClock

	mu      sync.Mutex
	idle    *sync.Cond
	queue   []timed
	writing bool
	dropped int
	history *history // the writer's
}

type timed struct {
	Note
	at time.Time
}

// NewRecorder returns a recorder for events from component on host. A nil clock
// is the real one.
func NewRecorder(c client.Client, component, host string, log *slog.Logger, clk clock.PassiveClock) *Recorder {
	if clk == nil {
		clk = clock.RealClock{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Recorder{client: c, log: log, clock: clk,
		history: newHistory(corev1.EventSource{Component: component, Host: host})}
	r.idle = sync.NewCond(&r.mu)
	return r
}

// Record writes n soon. It never waits; n.About is not changed.
func (r *Recorder) Record(n Note) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= pending {
		r.dropped++
		return
	}
	r.queue = append(r.queue, timed{n, r.clock.Now()})
	if !r.writing {
		r.writing = true
		go r.write()
	}
}

// Wait returns when everything recorded so far is written, or was given up.
func (r *Recorder) Wait() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.writing {
		r.idle.Wait()
	}
}

// write empties the queue.
func (r *Recorder) write() {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.queue, r.writing = nil, false
			r.idle.Broadcast()
			r.mu.Unlock()
			return
		}
		batch, dropped := r.queue, r.dropped
		r.queue, r.dropped = nil, 0
		r.mu.Unlock()
		if dropped > 0 {
			r.log.Warn("events are dropped: too many at once", "count", dropped)
		}
		for _, n := range batch {
			if err := r.one(n); err != nil {
				r.log.Debug("an event is lost", "reason", n.Reason, "about", n.About.GetName(), "err", err)
			}
		}
	}
}

func (r *Recorder) one(n timed) error {
	ev := r.history.next(n.Note, n.at)
	if ev == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if patch, again := repeats(ev); again {
		_, err := r.client.Do(ctx, client.MergePatch(resource.Events, ev.Namespace, ev.Name, "", patch))
		if !apierrors.IsNotFound(err) {
			return wrap("patch event", ev, err)
		}
		// It outlived its time in the store: a new one begins.
		r.history.forget(n.Note)
		if ev = r.history.next(n.Note, n.at); ev == nil {
			return nil
		}
	}
	_, err := r.client.Do(ctx, client.Create(resource.Events, ev))
	if err != nil {
		r.history.forget(n.Note)
	}
	return wrap("create event", ev, err)
}

func wrap(what string, ev *corev1.Event, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s/%s: %w", what, ev.Namespace, ev.Name, err)
}
