package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/etcd/pkg/v3/featuregate"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"

	"github.com/skiff-sh/skiff/store"
)

// Config of an embedded member. Only Dir is required.
type Config struct {
	// Dir is etcd's data directory. It is created with mode 0700 when missing.
	Dir string
	// Name of the member within its cluster; "" = "skiff".
	Name string
	// ClusterID refuses a data directory of another cluster; 0 = any. It is
	// what Store.ClusterID returned when the directory was made.
	ClusterID uint64
	// Socket is the path of a unix socket on which etcd's own clients may
	// connect; "" = no listener at all.
	Socket string
	// CompactEvery is the interval of automatic compaction: history is kept for
	// one to two intervals. 0 = 5 minutes, as upstream; negative = never.
	CompactEvery time.Duration
	// QuotaBytes is the size of the database at which writes are refused; 0 = 8 GiB.
	QuotaBytes int64
	// StartTimeout is the longest wait for the member to lead; 0 = 30 s.
	StartTimeout time.Duration
	// Log receives etcd's warnings and errors; nil = discarded.
	Log *slog.Logger
}

func (c *Config) setDefaults() error {
	if c.Dir == "" {
		return errors.New("store: Dir is empty: name the data directory, such as /var/lib/skiff/store")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("resolve data directory %q: %w", c.Dir, err)
	}
	c.Dir = dir
	c.Name = or(c.Name, "skiff")
	c.CompactEvery = or(c.CompactEvery, 5*time.Minute)
	c.QuotaBytes = or(c.QuotaBytes, 8<<30)
	c.StartTimeout = or(c.StartTimeout, 30*time.Second)
	c.Log = or(c.Log, slog.New(slog.DiscardHandler))
	if c.QuotaBytes < 0 {
		return fmt.Errorf("store: QuotaBytes is %d: use 0 for the default or a positive number", c.QuotaBytes)
	}
	return nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// member is the etcd server in this process.
type member struct {
	etcd *embed.Etcd
	lock *dirLock
}

// Embed starts an etcd member in this process and returns when it accepts
// writes. Every acknowledged write has been synced to disk. Errors:
// *LockedError, *ForeignError, *CorruptError tell what is wrong with the data
// directory and the mend.
//
// After a *CorruptError the process should exit: etcd cannot give back
// everything it had opened.
func Embed(c Config) (*Store, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	lock, err := openDir(c.Dir)
	if err != nil {
		return nil, err
	}
	m := &member{lock: lock}
	if err := m.start(&c); err != nil {
		m.stop()
		return nil, err
	}
	return m.store(&c), nil
}

// start runs the member and waits until it leads.
func (m *member) start(c *Config) error {
	if err := m.launch(c); err != nil {
		return err
	}
	cluster := m.etcd.Server.Cluster()
	if id := uint64(cluster.ID()); c.ClusterID != 0 && id != c.ClusterID {
		return &ForeignError{Dir: c.Dir, Found: fmt.Sprintf("data of cluster %x, not of %x", id, c.ClusterID)}
	}
	if n := len(cluster.Members()); n > 1 {
		return &ForeignError{Dir: c.Dir, Found: fmt.Sprintf("a member of a cluster of %d", n)}
	}
	timeout := time.NewTimer(c.StartTimeout)
	defer timeout.Stop()
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case err := <-m.etcd.Err():
		return fmt.Errorf("start store in %s: %w", c.Dir, err)
	case <-m.etcd.Server.StopNotify():
		return fmt.Errorf("start store in %s: etcd stopped by itself", c.Dir)
	case <-timeout.C:
		return fmt.Errorf("start store in %s: no leader after %s: is the disk very slow?", c.Dir, c.StartTimeout)
	}
}

// launch starts etcd. Where etcd would panic, end the process or fault on a
// truncated file, there is a *CorruptError instead.
func (m *member) launch(c *Config) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = &CorruptError{Dir: c.Dir, Cause: fmt.Errorf("%v", cause)}
		}
	}()
	m.etcd, err = embed.StartEtcd(etcdConfig(c))
	if err != nil {
		m.etcd = nil
		return &CorruptError{Dir: c.Dir, Cause: err}
	}
	return nil
}

// stop ends the member and lets go of the directory.
func (m *member) stop() error {
	if m.etcd != nil {
		m.etcd.Close()
	}
	return m.lock.release()
}

// store wires the store to the member, without any network in between.
func (m *member) store(c *Config) *Store {
	server := m.etcd.Server
	s := &Store{
		kv:     adapter.KvServerToKvClient(v3rpc.NewQuotaKVServer(server)),
		leases: newLeases(adapter.LeaseServerToLeaseClient(v3rpc.NewQuotaLeaseServer(server))),
		log:    c.Log,
		member: m,
		stop:   m.stop,
	}
	s.ending, s.end = context.WithCancel(context.Background())
	f := &follower{server: server, enter: s.enter, leave: s.running.RUnlock}
	s.follow = f.follow
	if c.CompactEvery > 0 {
		go s.compactLoop(c.CompactEvery)
	}
	return s
}

// ClusterID returns the id that etcd gave the cluster when its data directory
// was made; 0 for a remote store.
func (s *Store) ClusterID() uint64 {
	if s.member == nil {
		return 0
	}
	return uint64(s.member.etcd.Server.Cluster().ID())
}

var _ store.Store = (*Store)(nil)

// etcdConfig translates to etcd's own configuration.
func etcdConfig(c *Config) *embed.Config {
	e := embed.NewConfig()
	e.Dir, e.Name = c.Dir, c.Name
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(c.Log))

	// The peer address only names the member, nobody listens there. A literal
	// address, since etcd looks names up.
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	e.ListenPeerUrls, e.AdvertisePeerUrls = nil, []url.URL{peer}
	e.ListenClientUrls, e.AdvertiseClientUrls = nil, nil
	if c.Socket != "" {
		socket := url.URL{Scheme: "unix", Path: c.Socket}
		e.ListenClientUrls, e.AdvertiseClientUrls = []url.URL{socket}, []url.URL{socket}
	}
	e.InitialCluster = c.Name + "=" + peer.String()
	e.EnableGRPCGateway = false

	// A lone member elects itself after 1 to 5 ticks.
	e.TickMs, e.ElectionMs = tickMs, 5*tickMs
	e.QuotaBackendBytes = c.QuotaBytes
	// Compaction is ours, see compactLoop: etcd's would wake every 30 s.
	e.AutoCompactionRetention = "0"
	// Nobody has to catch up, so the raft log in memory can be short.
	e.SnapshotCatchUpEntries = 100

	gates := e.ServerFeatureGate.(featuregate.MutableFeatureGate)
	err := gates.SetFromMap(map[string]bool{
		string(features.InitialCorruptCheck): true,
		string(features.CompactHashCheck):    true,
	})
	if err != nil {
		panic("etcd has lost a feature gate: " + err.Error())
	}
	return e
}

// tickMs is etcd's heartbeat in milliseconds. A short one makes the start
// quick; it costs a wake-up of the raft loop per tick.
const tickMs = 10
