package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/node/cgroup"
	"github.com/skiff-sh/skiff/node/cri"
	"github.com/skiff-sh/skiff/node/metrics"
	"github.com/skiff-sh/skiff/node/probe"
	"github.com/skiff-sh/skiff/node/stats"
	"github.com/skiff-sh/skiff/node/volume"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Agent runs a node's pods. One goroutine, the loop, owns all that it knows;
// others do the work that it hands out, and live only as long as that.
type Agent struct {
	config  Config
	client  client.Client
	sync    func(context.Context) error
	runtime cri.Client
	events  interface{ Record(event.Note) }
	log     *slog.Logger
	host    Host
	hosts   string // the node's /etc/hosts
	volumes volume.Root
	probes  *probe.Prober
	tokens  *tokens
	// certificates of the pods that ask for them.
	certificates *certificates
	images       images
	metrics      *metrics.Metrics
	stats        *stats.Reader

	podCIDRs []string // what the Node asks for if it is made anew; register's own

	inbox      chan func()   // what the loop is to take in
	unreported chan struct{} // wakes the reports of the Node
	work       sync.WaitGroup

	// The loop's own.
	pods   map[types.UID]*record
	byName map[view.Key]types.UID
	timers timers
	node   *corev1.Node
	local  localVolumes
	static staticPods
	synced bool // the API's pods are known
	ctx    context.Context
	// reweigh says that the classes' control groups are to be weighed anew.
	reweigh    bool
	thresholds []Threshold
	pressure   Pressure // the reports' own
	scarce     Scarcity
	// renewed is when the lease was last renewed, if the node fences itself.
	renewed time.Time
}

// New returns an agent. The client's cache must hold Pods, Nodes, ConfigMaps,
// Secrets, Services, ClusterTrustBundles, PodCertificateRequests, RuntimeClasses and
// PersistentVolumes. Claims it asks for where the cache does not hold them.
func New(config Config, deps Deps) (*Agent, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("node agent's configuration: %w", err)
	}
	config = config.withDefaults()
	thresholds, err := config.Eviction.Thresholds()
	if err != nil {
		return nil, fmt.Errorf("node agent's configuration: %w", err)
	}
	a := &Agent{
		config: config, client: deps.Client, sync: deps.Synced, runtime: deps.Runtime, events: deps.Events, log: deps.Log,
		podCIDRs:   config.PodCIDRs,
		inbox:      make(chan func(), 64),
		unreported: make(chan struct{}, 1),
		local:      localVolumes{removing: map[string]bool{}, removed: map[string]bool{}},
		static:     staticPods{mirrors: map[view.Key]*mirroring{}},
		pods:       map[types.UID]*record{},
		byName:     map[view.Key]types.UID{},
		thresholds: thresholds,
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.sync == nil {
		// A view that has never been filled must not pass for an empty cluster: all
		// pods would be ended.
		a.sync = func(ctx context.Context) error {
			_, err := a.client.Cache().WaitFor(ctx, 1)
			return err
		}
	}
	if a.events == nil {
		a.events = noEvents{}
	}
	a.tokens = newTokens(a.client)
	a.certificates = newCertificates(a.client, a.config.Name, a.tell)
	a.probes = probe.New(a.execProbe, a.probed)
	a.metrics = metrics.New(a.config.Name, a.census)
	a.stats = stats.New(a.config.Name, a.log)
	host, err := detectHost(config)
	if err != nil {
		return nil, err
	}
	a.host = host
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("read /etc/hosts: %w", err)
	}
	a.hosts = string(hosts)
	return a, nil
}

type noEvents struct{}

func (noEvents) Record(event.Note) {}

// Run runs pods until ctx ends. Containers go on without it, and the next Run
// takes them up.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer a.work.Wait()
	defer cancel()
	a.ctx = ctx
	if err := a.prepare(); err != nil {
		return err
	}
	found, err := a.runtime.List(ctx)
	if err != nil {
		return err
	}
	a.node = a.describe()
	a.take(found, time.Now())
	a.work.Go(func() { a.probes.Run(ctx) })
	a.work.Go(func() { a.listen(ctx) })
	if err := a.startStatic(ctx); err != nil {
		return err
	}
	if err := a.untilSynced(ctx); err != nil {
		return err
	}
	a.firstRenewal(ctx)
	reader, err := a.begin()
	if err != nil {
		return err
	}
	a.work.Go(func() { a.register(ctx) })
	a.work.Go(func() { a.feelPressure(ctx) })
	if a.config.Lease > 0 {
		a.work.Go(func() { a.keepLease(ctx) })
	}
	return a.loop(ctx, reader, nil)
}

// untilSynced runs the pods from files until those of the API are known.
func (a *Agent) untilSynced(ctx context.Context) error {
	var failed error
	end := make(chan struct{})
	a.work.Go(func() {
		failed = a.sync(ctx)
		close(end)
	})
	if err := a.loop(ctx, nil, end); err != nil {
		return err
	}
	return failed
}

func (a *Agent) prepare() error {
	root, err := volume.Open(a.config.Root)
	if err != nil {
		return err
	}
	root.Local = a.config.LocalVolumes
	a.volumes = root
	if err := root.EmptyTrash(); err != nil {
		a.log.Warn("data of volumes that are over stays", "err", err)
	}
	if err := os.MkdirAll(a.config.Logs, 0o755); err != nil {
		return fmt.Errorf("create folder of logs: %w", err)
	}
	if err := cgroup.Make(a.host.CgroupRoot, &runtimeapi.LinuxContainerResources{}); err != nil {
		a.log.Warn("pods' control groups have no limits of their own", "err", err)
	}
	a.host.LimitsSwap = cgroup.LimitsSwap(a.host.CgroupRoot)
	return nil
}

// begin starts reading changes and takes in the pods that there are.
func (a *Agent) begin() (*watchcache.Reader, error) {
	cache := a.client.Cache()
	v := cache.View()
	reader := cache.Read(v.Revision(), resource.Pods.Info, resource.ConfigMaps.Info, resource.Secrets.Info,
		resource.ClusterTrustBundles.Info, resource.PodCertificateRequests.Info,
		resource.PersistentVolumeClaims.Info, resource.PersistentVolumes.Info)
	a.synced = true
	a.resync(v)
	a.reclaimAll(v)
	if err := a.sweep(); err != nil {
		reader.Close()
		return nil, err
	}
	return reader, nil
}

// loop takes in, one at a time, what happens: changes that reader has, where it is
// not nil. It ends without an error when end is closed.
func (a *Agent) loop(ctx context.Context, reader *watchcache.Reader, end <-chan struct{}) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var ready <-chan struct{}
	if reader != nil {
		defer func() { reader.Close() }() // whichever it is by then
	}
	for {
		if reader != nil {
			ready = reader.Ready()
		}
		now := time.Now()
		a.timers.fire(now, func(r *record) { a.step(r, now) })
		a.weighClasses()
		if at, ok := a.timers.next(); ok {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case take := <-a.inbox:
			take()
		case <-end:
			return nil
		case <-ready:
			changes, v, err := reader.Poll()
			if err != nil {
				a.log.Warn("the agent fell behind the cluster's changes and reads anew", "err", err)
				next, err := a.begin()
				if err != nil {
					return err
				}
				reader.Close()
				reader = next
				continue
			}
			for _, change := range changes {
				a.changed(change, v)
			}
		}
	}
}

// post hands something to the loop; it is dropped when the agent ends.
func (a *Agent) post(take func()) {
	select {
	case a.inbox <- take:
	case <-a.ctx.Done():
	}
}

// ask runs a function in the loop and waits for it.
func (a *Agent) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case a.inbox <- func() { f(); close(done) }:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sweep removes folders of pods that neither the API nor the runtime knows.
func (a *Agent) sweep() error {
	uids, err := a.volumes.Pods()
	if err != nil {
		return err
	}
	for _, uid := range uids {
		if a.pods[uid] == nil {
			if err := a.volumes.Unmount(uid); err != nil {
				a.log.Warn("the volumes of a pod that is gone stay", "uid", uid, "err", err)
			}
		}
	}
	logs, err := filepath.Glob(filepath.Join(a.config.Logs, "*_*_*"))
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	for _, dir := range logs {
		uid := types.UID(dir[lastUnderscore(dir)+1:])
		if a.pods[uid] == nil {
			if err := os.RemoveAll(dir); err != nil {
				a.log.Warn("the logs of a pod that is gone stay", "folder", dir, "err", err)
			}
		}
	}
	return nil
}

func lastUnderscore(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '_' {
			return i
		}
	}
	return -1
}
