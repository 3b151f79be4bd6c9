package world

import (
	"context"
	"fmt"
	"sync"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/store/mem"
	"github.com/skiff-sh/skiff/view"
)

// Epoch is when every cluster in virtual time begins.
var Epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// Image is a new cluster without nodes, with all done that its controllers had to
// do. Making one takes some 50 ms, so a process makes it once and begins all its
// clusters with it.
type Image struct {
	store *mem.Store
	view  *view.View
}

// AtEpoch is the image of clusters in virtual time, and Today of those in real
// time: what they hold was made when the process first asked.
var (
	AtEpoch = sync.OnceValues(func() (Image, error) { return newImage(Epoch, new([32]byte)) })
	Today   = sync.OnceValues(func() (Image, error) { return newImage(time.Now(), nil) })
)

// Store returns a store of its own with what the image holds.
func (i Image) Store(o mem.Options) *mem.Store { return i.store.Fork(o) }

// Adopt is for a world whose store is one of the image's: its server sees what
// the image holds, as if it had read it, and is ready.
func (i Image) Adopt(w *World) {
	w.API.Adopt(i.view)
	w.API.SetReady()
}

func newImage(at time.Time, seed *[32]byte) (Image, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	clock := clocktesting.NewFakeClock(at)
	i := Image{store: mem.New(mem.Options{Now: clock.Now})}
	w, err := New(Config{Store: i.store, Now: clock.Now, Seed: seed})
	if err != nil {
		return Image{}, err
	}
	defer w.API.Stop()
	if err := w.API.Load(ctx); err != nil {
		return Image{}, err
	}
	fed := make(chan error, 1)
	go func() { fed <- w.API.Feed(ctx) }()
	if err := i.settle(ctx, w, clock); err != nil {
		return Image{}, err
	}
	cancel()
	if err := <-fed; err != nil {
		return Image{}, fmt.Errorf("feed the first cluster: %w", err)
	}
	i.view = w.API.View()
	return i, nil
}

// settle boots a world and lets its controllers do what they have to.
func (i Image) settle(ctx context.Context, w *World, clock *clocktesting.FakeClock) error {
	if err := w.Boot(ctx); err != nil {
		return err
	}
	parts, err := w.Parts(ctx, Hands{
		As:       func(_ string, user authn.User) client.Client { return w.API.Local(user) },
		Kubelets: w.Kubelets(w.API.Cache()), Clock: clock,
	})
	if err != nil {
		return err
	}
	defer parts.Close()
	for acted := true; acted; {
		for parts.Step(ctx) {
			acted = false
		}
		revision, err := i.store.Revision(ctx)
		if err != nil {
			return err
		}
		if _, err := w.API.Cache().WaitFor(ctx, revision); err != nil {
			return err
		}
		acted = parts.Step(ctx)
	}
	return nil
}
