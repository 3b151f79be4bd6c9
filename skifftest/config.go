package skifftest

import (
	"context"
	"crypto/rand"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/sim/world"
)

// Config is for clients over HTTP, as an administrator. The first call begins to
// listen, on this machine only.
func (c *Cluster) Config() *rest.Config { return c.config(world.Admin()) }

// ConfigFor is Config for a user with no more rights than RBAC gives.
func (c *Cluster) ConfigFor(name string, groups ...string) *rest.Config {
	return c.config(controlplane.Authenticated(authn.User{Name: name, Groups: groups}))
}

func (c *Cluster) config(user authn.User) *rest.Config {
	return &rest.Config{
		Host: c.serve().URL, BearerToken: c.tokens.add(user),
		QPS: -1, // a test is not slowed down for a server's sake
	}
}

// tokens are the bearer tokens of a cluster's users.
type tokens struct {
	mu    sync.Mutex
	users map[string]authn.User
}

func newTokens() *tokens { return &tokens{users: map[string]authn.User{}} }

func (t *tokens) add(user authn.User) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	token := rand.Text()
	t.users[token] = user
	return token
}

// Authenticate implements authn.Token.
func (t *tokens) Authenticate(_ context.Context, token string, audiences []string) (authn.User, []string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	user, ok := t.users[token]
	if !ok {
		return authn.User{}, nil, authn.ErrUnknownToken
	}
	return user, audiences, nil
}
