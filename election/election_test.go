package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// server is one that takes part. While it is cut off its writes fail and it
// sees nothing new.
type server struct {
	*clienttest.Client
	cache     *watchcache.Cache
	cut       atomic.Bool
	following sync.Mutex
	leading   atomic.Int64
	stop      context.CancelFunc
	ended     sync.WaitGroup
}

var errCut = errors.New("the store does not answer")

func (s *server) Cache() *watchcache.Cache { return s.cache }

func (s *server) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	if s.cut.Load() {
		return nil, errCut
	}
	defer s.follow()
	return s.Client.Do(ctx, op)
}

// follow brings the server's cache up to date.
func (s *server) follow() {
	s.following.Lock()
	defer s.following.Unlock()
	if v := s.View(); !s.cut.Load() && v.Revision() > s.cache.View().Revision() {
		s.cache.Reset(v)
	}
}

// join has a server take part until the test ends.
func join(t *testing.T, c *clienttest.Client, id string) *server {
	s := &server{Client: c, cache: watchcache.New(0)}
	s.cache.Reset(c.View())
	ctx, cancel := context.WithCancel(t.Context())
	s.ended.Go(func() {
		for ctx.Err() == nil {
			s.follow()
			time.Sleep(5 * time.Millisecond)
		}
	})
	s.stop = func() { cancel(); s.ended.Wait() }
	s.ended.Go(func() {
		_ = Run(ctx, s, Config{Name: "leader", ID: id, Log: slog.New(slog.DiscardHandler)}, func(ctx context.Context, term Term) {
			s.leading.Store(term.Revision)
			<-ctx.Done()
			s.leading.Store(0)
		})
	})
	return s
}

func (s *server) leads() bool { return s.leading.Load() != 0 }

// after lets time pass until check holds, at most limit; it returns how long
// that took.
func after(t *testing.T, limit time.Duration, check func() bool) time.Duration {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if took := time.Since(began); check() {
			return took
		} else if took > limit {
			t.Fatalf("not so after %s", limit)
		}
	}
}

func TestOneLeadsAtOnceAndIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clienttest.New()
		a := join(t, c, "a")
		after(t, 0, a.leads)
		c.Done()
		time.Sleep(time.Minute)
		if ops := c.Done(); len(ops) != 0 {
			t.Errorf("a leader whom nobody waits to succeed wrote %v", ops)
		}
		a.stop()
	})
}

func TestAnotherTakesOverFromOneThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clienttest.New()
		a, b := join(t, c, "a"), (*server)(nil)
		after(t, 0, a.leads)
		b = join(t, c, "b")
		time.Sleep(time.Minute)
		if synctest.Wait(); !a.leads() || b.leads() {
			t.Fatal("the leader changed though it renews")
		}
		a.cut.Store(true)
		took := after(t, time.Second, func() bool {
			if a.leads() && b.leads() {
				t.Fatal("two lead at once")
			}
			return b.leads()
		})
		if took > 800*time.Millisecond {
			t.Errorf("the other leads after %s, want it well within a second", took)
		}
		a.cut.Store(false)
		time.Sleep(time.Minute)
		if synctest.Wait(); a.leads() || !b.leads() {
			t.Error("who comes back takes over from one that renews")
		}
		a.stop()
		b.stop()
	})
}

func TestAnotherTakesOverAtOnceFromOneThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clienttest.New()
		a := join(t, c, "a")
		after(t, 0, a.leads)
		b := join(t, c, "b")
		time.Sleep(time.Second)
		a.stop()
		after(t, 10*time.Millisecond, b.leads)
		lease, _ := view.Get(c.View(), resource.Leases, Namespace, "leader")
		if holder(lease) != "b" {
			t.Errorf("the lease's holder is %q, want b", holder(lease))
		}
		b.stop()
		for l := range view.List(c.View(), resource.Leases, "") {
			t.Errorf("lease %s is left though all have stopped", l.Name)
		}
	})
}

func TestOneThatComesBackLeadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clienttest.New()
		a := join(t, c, "a")
		after(t, 0, a.leads)
		first := a.leading.Load()
		a.cut.Store(true) // its lease stays, as after kill -9
		a.stop()
		again := join(t, c, "a")
		after(t, 0, again.leads)
		if second := again.leading.Load(); second <= first {
			t.Errorf("the second term is fenced by revision %d, the first by %d", second, first)
		}
		again.stop()
	})
}

// A candidate that died does not make the leader renew for ever.
func TestDeadCandidatesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clienttest.New()
		a := join(t, c, "a")
		after(t, 0, a.leads)
		b := join(t, c, "b")
		time.Sleep(time.Second)
		b.cut.Store(true)
		b.stop()
		time.Sleep(2 * absent)
		synctest.Wait()
		c.Done()
		time.Sleep(time.Minute)
		if ops := c.Done(); len(ops) != 0 {
			t.Errorf("after the other's death the leader wrote %d times", len(ops))
		}
		a.stop()
	})
}

// However servers come, go and are cut off, never do two lead at once that reach
// the store: one that is cut off may not know yet that it has lost, but it cannot
// write either (store.Guard). When all is well again, one leads.
func TestNeverTwo(t *testing.T) {
	for seed := range 20 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { neverTwo(t, uint64(seed)) })
		})
	}
}

func neverTwo(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	c := clienttest.New()
	servers := map[string]*server{}
	for range 60 {
		id := string(rune('a' + rnd.IntN(3)))
		switch s := servers[id]; {
		case s == nil:
			servers[id] = join(t, c, id)
		case rnd.IntN(3) == 0:
			s.stop()
			delete(servers, id)
		default:
			s.cut.Store(!s.cut.Load())
		}
		time.Sleep(20 * time.Millisecond) // who is back sees what there is
		for range rnd.IntN(150) {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			if n := leaders(servers); n > 1 {
				t.Fatalf("%d lead at once", n)
			}
		}
	}
	for _, s := range servers {
		s.cut.Store(false)
	}
	servers["z"] = join(t, c, "z")
	after(t, 2*time.Second, func() bool { return leaders(servers) == 1 })
	for _, s := range servers {
		s.stop()
	}
}

func leaders(servers map[string]*server) int {
	n := 0
	for _, s := range servers {
		if s.leads() && !s.cut.Load() {
			n++
		}
	}
	return n
}
