package etcd

import (
	"context"
	"crypto/rand"
	"errors"
	"expvar"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"go.etcd.io/etcd/pkg/v3/featuregate"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/features"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

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
	return m.await(c)
}

// launch starts etcd. Where etcd would panic, end the process or fault on a
// truncated file, there is a *CorruptError instead.
func (m *member) launch(c *Config) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case runtime.Error: // the database has been checked, see checkDatabase
			err = &CorruptError{Dir: c.Dir, Cause: errors.New("etcd cannot make sense of member/wal")}
		default:
			err = &CorruptError{Dir: c.Dir, Cause: fmt.Errorf("etcd cannot read member/wal: %v", cause)}
		}
	}()
	m.etcd, err = embed.StartEtcd(etcdConfig(c))
	if err != nil {
		m.etcd = nil
		return &CorruptError{Dir: c.Dir, Cause: err}
	}
	return nil
}

// logDelay is when to suspect a log that ends before the database: a member
// that leads has its own first entry in the log within milliseconds.
const logDelay = time.Second

// await returns when the member leads and applies what it writes.
func (m *member) await(c *Config) error {
	server := m.etcd.Server
	again := time.NewTicker(campaignEvery)
	defer again.Stop()
	suspect, timeout := time.After(logDelay), time.After(c.StartTimeout)
	for settled := uint64(0); ; {
		switch applied := server.AppliedIndex(); {
		case server.Leader() != 0:
			again.Stop()
		case m.settled(settled):
			m.campaign()
		default:
			settled = applied
		}
		select {
		case <-server.ReadyNotify():
			return nil
		case <-again.C:
		case <-suspect:
			if err := m.checkLog(c); err != nil {
				return err
			}
		case err := <-m.etcd.Err():
			return fmt.Errorf("start store in %s: %w", c.Dir, err)
		case <-server.StopNotify():
			return fmt.Errorf("start store in %s: etcd stopped by itself", c.Dir)
		case <-timeout:
			return fmt.Errorf("start store in %s: no leader after %s: is the disk very slow?", c.Dir, c.StartTimeout)
		}
	}
}

// campaignEvery is how often a starting member looks whether it can be
// elected. That takes some milliseconds of reading its log, and nothing tells
// when it is done.
const campaignEvery = 2 * time.Millisecond

// settled says whether raft has applied all that the log held. Before that,
// standing for election makes raft look for entries that etcd may already have
// dropped from memory, and panic. Etcd's own applied index is a little ahead of
// raft's, which only a published variable shows, of the process's latest member;
// for others it must do that etcd's index has not moved since last time.
func (m *member) settled(last uint64) bool {
	server := m.etcd.Server
	applied := server.AppliedIndex()
	if applied == 0 || applied != server.CommittedIndex() {
		return false
	}
	if published, ok := expvar.Get("raft.status").(expvar.Func); ok {
		if status, ok := published.Value().(raft.Status); ok && status.ID == uint64(server.MemberID()) {
			return status.Applied >= status.HardState.GetCommit()
		}
	}
	return applied == last
}

// campaign makes the member stand for election now, with the message by which
// a leader hands over. Left alone it would wait for one to five ticks.
func (m *member) campaign() {
	id := uint64(m.etcd.Server.MemberID())
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// An error means that the member is stopping, which await sees itself.
	_ = m.etcd.Server.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &id, To: &id})
}

// checkLog compares the log's end with the last entry applied to the database.
// Etcd takes a damaged record in the last log file for a write that a crash
// cut short and drops it with all that follow; then it ignores new entries
// until their numbers pass the database's.
func (m *member) checkLog(c *Config) error {
	server := m.etcd.Server
	applied, _ := schema.ReadConsistentIndex(server.Backend().ReadTx())
	if committed := server.CommittedIndex(); server.Leader() != 0 && committed < applied {
		return &CorruptError{Dir: c.Dir, Cause: fmt.Errorf("member/wal ends at entry %d, before entry %d of member/snap/db", committed, applied)}
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
	// The cluster's ID is a hash of this, and must tell clusters apart. Only a
	// new data directory looks at it.
	e.InitialClusterToken = rand.Text()
	e.EnableGRPCGateway = false

	// Ticks only wake the processor: a lone member needs neither heartbeats nor
	// timeouts, and campaign makes it lead at once.
	e.TickMs, e.ElectionMs = tickMs, 5*tickMs
	// The log is durable, the database may lag: a second in place of etcd's 100 ms
	// saves wake-ups, and the limit keeps what is pending, and its copies, small.
	e.BackendBatchInterval, e.BackendBatchLimit = time.Second, 2000
	e.QuotaBackendBytes = c.QuotaBytes
	// Compaction is ours, see compactLoop: etcd's would wake every 30 s.
	e.AutoCompactionRetention = "0"
	// Nobody has to catch up, so the raft log in memory can be shorter than
	// etcd's 5000; see settled for why not much shorter.
	e.SnapshotCatchUpEntries = 1000
	// A start reads every log file that is left, twice. Those still needed are
	// never removed.
	e.MaxWalFiles, e.MaxSnapFiles = 2, 2

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

// tickMs is etcd's heartbeat in milliseconds. With 10 an idle member took
// 1.6 % of a core, with 100 it took 0.5 %. Etcd also derives from it the
// shortest lease (four seconds with 500) and how long a request may take (ten).
const tickMs = 500
