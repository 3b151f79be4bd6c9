package preview

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
	"github.com/skiff-sh/skiff/view"
)

// fork is a cluster in memory that began as a copy of another. Its time stands
// still but for rest.
type fork struct {
	world *world.World
	clock *clocktesting.FakeClock
	mem   *mem.Store
	parts *world.Parts
	token string // lets in whoever runs the preview, as an administrator
}

// newFork copies the objects of a view. It lives until ctx ends.
func newFork(ctx context.Context, from *view.View, now time.Time) (*fork, error) {
	f := &fork{clock: clocktesting.NewFakeClock(now), token: rand.Text()}
	f.mem = mem.New(mem.Options{Now: f.clock.Now})
	if err := f.copy(ctx, from); err != nil {
		return nil, err
	}
	var err error
	if f.world, err = world.New(world.Config{Store: f.mem, Now: f.clock.Now, Tokens: []authn.Token{f}}); err != nil {
		return nil, err
	}
	if err := f.world.API.Load(ctx); err != nil {
		return nil, err
	}
	go f.world.API.Feed(ctx) //nolint:errcheck // it ends with ctx: the store in memory does not fail
	if err := f.world.Boot(ctx); err != nil {
		return nil, err
	}
	return f, f.start(ctx)
}

// copy writes every object as it is but for the nodes, which are given simulated
// agents.
func (f *fork) copy(ctx context.Context, from *view.View) error {
	for _, kind := range resource.All() {
		if kind == resource.MutatingWebhookConfigurations.Info || kind == resource.ValidatingWebhookConfigurations.Info {
			continue // they would be asked about what does not happen
		}
		for e := range from.Entries(kind, "", view.Key{}) {
			obj := e.Object.DeepCopyObject().(resource.Object)
			obj.SetResourceVersion("")
			if kind == resource.Nodes.Info {
				notes := obj.GetAnnotations()
				if notes == nil {
					notes = map[string]string{}
				}
				notes[kubelet.Simulated] = kubelet.Works
				obj.SetAnnotations(notes)
			}
			data, err := resource.EncodeProtobuf(kind, obj)
			if err != nil {
				return fmt.Errorf("copy %s %s: %w", kind.GR(), e.Key, err)
			}
			if _, err := f.mem.Write(ctx, store.Write{Key: kind.Key(e.Key.Namespace, e.Key.Name), Value: data}); err != nil {
				return fmt.Errorf("copy %s %s: %w", kind.GR(), e.Key, err)
			}
		}
	}
	return nil
}

// start puts together what acts on the fork. Nobody reads its events.
func (f *fork) start(ctx context.Context) (err error) {
	api := f.world.API
	f.parts, err = f.world.Parts(ctx, world.Hands{
		As:       func(_ string, user authn.User) client.Client { return api.Local(user) },
		Kubelets: f.world.Kubelets(api.Cache()), Clock: f.clock,
	})
	return err
}

func (f *fork) close() {
	f.parts.Close()
	f.world.API.Stop()
}

// stepLimit bounds the steps at one moment: controllers that undo each other's
// work would go on for ever.
const stepLimit = 1_000_000

// rest lets so much time pass. Everything due on the way happens at its time. It
// returns false where one moment does not end.
func (f *fork) rest(ctx context.Context, by time.Duration) (settled bool, err error) {
	for end := f.clock.Now().Add(by); ; {
		if settled, err := f.settle(ctx); err != nil || !settled {
			return false, err
		}
		next, due := f.parts.Next()
		if !due || next.After(end) {
			f.clock.SetTime(end)
			return true, nil
		}
		if next.After(f.clock.Now()) {
			f.clock.SetTime(next)
		}
	}
}

// settle steps until nothing is left to do at the present time.
func (f *fork) settle(ctx context.Context) (bool, error) {
	for range stepLimit {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !f.parts.Step(ctx) {
			return true, nil
		}
	}
	return false, nil
}

// serve answers on a free port of this machine until stop is called: by TLS, as
// kubectl sends a token to no one else.
func (f *fork) serve() (a Access, stop func(), err error) {
	authority, err := pki.NewAuthority("preview", time.Now())
	if err != nil {
		return a, nil, err
	}
	here := netip.MustParseAddr("127.0.0.1")
	pair, err := authority.Issue(pki.Leaf{CommonName: "preview", Addresses: []netip.Addr{here}}, time.Now())
	if err != nil {
		return a, nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair.TLS()}}
	listener, err := tls.Listen("tcp", netip.AddrPortFrom(here, 0).String(), config)
	if err != nil {
		return a, nil, fmt.Errorf("serve the preview's API: %w", err)
	}
	server := &http.Server{Handler: f.world.API, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends with stop
	return Access{"https://" + listener.Addr().String(), f.token, authority.CertificatePEM()}, func() { server.Close() }, nil
}

// Authenticate implements authn.Token for the fork's one token.
func (f *fork) Authenticate(_ context.Context, given string, audiences []string) (authn.User, []string, error) {
	if given != f.token {
		return authn.User{}, nil, authn.ErrUnknownToken
	}
	return world.Admin(), audiences, nil
}
