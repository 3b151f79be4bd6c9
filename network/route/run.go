package route

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Deps are what Run needs.
type Deps struct {
	Config Config
	Cache  *watchcache.Cache // complete for nodes
	Log    *slog.Logger
}

// Run keeps the kernel's routes to other nodes' pods until ctx ends. The routes stay
// then: pods go on without the agent.
func Run(ctx context.Context, d Deps) error {
	kernel, stop, err := watchKernel()
	if err != nil {
		return err
	}
	defer stop()
	v := d.Cache.View()
	reader := d.Cache.Read(v.Revision(), resource.Nodes.Info)
	defer reader.Close()
	var set *Plan // as it was applied; nil when the kernel may have something else
	var truce proxy.Truce
	mend := time.NewTimer(0)
	defer mend.Stop()
	later := func(why string, err error) {
		var wait time.Duration
		truce, wait = truce.Clash(time.Now())
		d.Log.Warn(why, "error", err, "again_in", wait)
		set = nil
		mend.Reset(wait)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-mend.C:
		case <-reader.Ready():
			if _, v, err = reader.Poll(); err != nil {
				return err
			}
		case _, ok := <-kernel:
			if !ok {
				return errors.New("the kernel's news of routes were lost")
			}
			if same, err := d.intact(v); err != nil || !same {
				later("routes to other nodes' pods are not as they were set", err)
			}
			continue
		}
		p, err := d.plan(v)
		if err == nil && set != nil && reflect.DeepEqual(p, *set) {
			continue // most changes of Nodes are their heartbeats
		}
		if err == nil {
			err = apply(d.Config, p)
		}
		if set = &p; err != nil {
			later("set routes to other nodes' pods", err)
		}
	}
}

func (d *Deps) intact(v *view.View) (bool, error) {
	p, err := d.plan(v)
	if err != nil {
		return false, err
	}
	return intact(d.Config, p)
}

func (d *Deps) plan(v *view.View) (Plan, error) {
	here, err := addresses(d.Config)
	if err != nil {
		return Plan{}, err
	}
	return Decide(d.Config, here, slices.Collect(view.List(v, resource.Nodes, ""))), nil
}
