package etcd

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"github.com/skiff-sh/skiff/store"
)

type Config struct{ Dir string }

type Store struct {
	client *clientv3.Client
	server *embed.Etcd
}

func Embed(c Config) (*Store, error) {
	ec := embed.NewConfig()
	ec.Dir = c.Dir
	ec.TickMs, ec.ElectionMs = 10, 100
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	u := url.URL{Scheme: "unix", Host: "localhost:0", Path: c.Dir + "-client.sock"}
	p := url.URL{Scheme: "unix", Host: "localhost:0", Path: c.Dir + "-peer.sock"}
	_ = u
	_ = p
	lc, _ := url.Parse("unix://" + c.Dir + ".c.sock")
	lp, _ := url.Parse("unix://" + c.Dir + ".p.sock")
	ec.ListenClientUrls, ec.AdvertiseClientUrls = []url.URL{*lc}, []url.URL{*lc}
	ec.ListenPeerUrls, ec.AdvertisePeerUrls = []url.URL{*lp}, []url.URL{*lp}
	ec.InitialCluster = ec.InitialClusterFromName(ec.Name)
	e, err := embed.StartEtcd(ec)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	<-e.Server.ReadyNotify()
	return &Store{client: v3client.New(e.Server), server: e}, nil
}

func (s *Store) Close() error { s.client.Close(); s.server.Close(); return nil }

func (s *Store) Get(ctx context.Context, key string) (store.Entry, store.Revision, error) {
	r, err := s.client.Get(ctx, key)
	if err != nil {
		return store.Entry{}, 0, err
	}
	if len(r.Kvs) == 0 {
		return store.Entry{}, r.Header.Revision, store.ErrNotFound
	}
	kv := r.Kvs[0]
	return store.Entry{Key: key, Value: kv.Value, ModRevision: kv.ModRevision, CreateRevision: kv.CreateRevision}, r.Header.Revision, nil
}

func (s *Store) List(ctx context.Context, r store.Range) (store.Page, error) {
	from := r.Prefix
	if r.From != "" {
		from = r.From
	}
	res, err := s.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(r.Prefix)), clientv3.WithLimit(int64(r.Limit)), clientv3.WithRev(r.Revision))
	if err != nil {
		return store.Page{}, err
	}
	p := store.Page{Revision: res.Header.Revision, More: res.More}
	if r.Revision != 0 {
		p.Revision = r.Revision
	}
	for _, kv := range res.Kvs {
		p.Entries = append(p.Entries, store.Entry{Key: string(kv.Key), Value: kv.Value, ModRevision: kv.ModRevision, CreateRevision: kv.CreateRevision})
	}
	return p, nil
}

func (s *Store) Write(ctx context.Context, w store.Write) (store.Revision, error) {
	var op clientv3.Op
	if w.Value == nil {
		op = clientv3.OpDelete(w.Key)
	} else {
		op = clientv3.OpPut(w.Key, string(w.Value))
	}
	txn := s.client.Txn(ctx)
	if w.If >= 0 {
		txn = txn.If(clientv3.Compare(clientv3.ModRevision(w.Key), "=", w.If))
	}
	res, err := txn.Then(op).Else(clientv3.OpGet(w.Key)).Commit()
	if err != nil {
		return 0, errors.Join(store.ErrUncertain, err)
	}
	if res.Succeeded {
		return res.Header.Revision, nil
	}
	c := &store.ConflictError{Key: w.Key}
	if kvs := res.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		c.Exists = true
		c.Current = store.Entry{Key: w.Key, Value: kvs[0].Value, ModRevision: kvs[0].ModRevision, CreateRevision: kvs[0].CreateRevision}
	}
	return 0, c
}

func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for r := range s.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(after+1)) {
			if err := r.Err(); err != nil {
				if errors.Is(err, rpctypes.ErrCompacted) {
					err = store.ErrCompacted
				}
				yield(store.Batch{}, err)
				return
			}
			b := store.Batch{Revision: r.Header.Revision}
			for _, e := range r.Events {
				ev := store.Event{Key: string(e.Kv.Key), Value: e.Kv.Value, ModRevision: e.Kv.ModRevision, Create: e.IsCreate()}
				if e.Type == clientv3.EventTypeDelete {
					ev.Type = store.Delete
				}
				b.Events = append(b.Events, ev)
				b.Revision = e.Kv.ModRevision
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

func (s *Store) Compact(ctx context.Context, rev store.Revision) error {
	_, err := s.client.Compact(ctx, rev)
	return err
}

func (s *Store) Revision(ctx context.Context) (store.Revision, error) {
	r, err := s.client.Get(ctx, "\x00")
	if err != nil {
		return 0, err
	}
	return r.Header.Revision, nil
}

var _ = time.Second
