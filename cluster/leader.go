package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/election"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/store"
)

// leaderLease is the lease of the server that runs controllers and scheduler.
const leaderLease = "skiff-leader"

// startLeading runs controllers and scheduler whenever this server leads.
func (s *server) startLeading(parts *components, all []controller.Controller) error {
	id, err := serverID(s.config.Paths().ServerID())
	if err != nil {
		return err
	}
	parts.start("causes", func(ctx context.Context) error { return s.api.SaveCauses(ctx, id) })
	parts.start("election", func(ctx context.Context) error {
		config := election.Config{Name: leaderLease, ID: s.config.NodeName + "-" + id, Log: s.log.With("component", "election")}
		return election.Run(ctx, s.local(controlplane.Elector()), config, func(ctx context.Context, term election.Term) {
			key := resource.Leases.Info.Key(election.Namespace, leaderLease)
			l := leader{s, store.Guard{Key: key, Created: term.Revision}}
			var both sync.WaitGroup
			both.Go(func() { parts.run(ctx, "controllers", func(ctx context.Context) error { return l.control(ctx, all) }) })
			both.Go(func() { parts.run(ctx, "scheduler", l.schedule) })
			both.Wait()
		})
	})
	return nil
}

// serverID reads the file that tells this server from others on the same store,
// and makes it where there is none.
func serverID(file string) (string, error) {
	data, err := os.ReadFile(file)
	if id := strings.TrimSpace(string(data)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the server's id: %w", err)
	}
	id := strings.ToLower(rand.Text()[:10])
	if err := pki.WriteFile(file, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("keep the server's id: %w", err)
	}
	return id, nil
}

// leader is a server in one term of leading. Its clients change nothing once
// another leads.
type leader struct {
	*server
	term store.Guard
}

func (l leader) client(user authn.User) client.Client {
	return l.api.LocalWhile(user, l.term)
}

func (l leader) control(ctx context.Context, all []controller.Controller) error {
	return controller.Run(ctx, l.client(controlplane.Manager()), all, controller.Deps{
		Log:  l.log.With("component", "controllers"),
		Seed: uint64(time.Now().UnixNano()),
		As:   func(name string) client.Client { return l.client(controlplane.ControllerUser(name)) },
		Host: l.config.NodeName,
	})
}

func (l leader) schedule(ctx context.Context) error {
	c := l.client(controlplane.Scheduler())
	profiles, err := schedulerProfiles(l.config.SchedulerConfig)
	if err != nil {
		return err
	}
	return scheduler.Run(ctx, c, scheduler.Deps{
		Log: l.log.With("component", "scheduler"), Now: time.Now, Profiles: profiles,
		Events: event.NewRecorder(c, "default-scheduler", l.config.NodeName, l.log, clock.RealClock{}),
	})
}
