package etcd

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"

	"github.com/skiff-sh/skiff/store"
)

const (
	// historyStep is how many revisions are read from the database at a time.
	historyStep = 1000
	// pendingLimit is how many responses wait for a slow reader before etcd is
	// made to keep them itself, which it does on disk but delivers in steps of
	// 100 ms.
	pendingLimit = 16384
)

// follower watches the member's own storage, below etcd's watch service. That
// service would add three goroutines and an encoding per watch, and starts a
// watch from an old revision only at its next 100 ms tick: the follower reads
// the old revisions itself.
type follower struct {
	server *etcdserver.EtcdServer
	enter  func(context.Context) error
	leave  func()
}

// follow subscribes first and reads the history afterwards, so that nothing
// can fall between the two; what comes twice is recognised by its revision.
// The subscription is on all keys: revisions elsewhere become progress.
func (f *follower) follow(ctx context.Context, prefix string, after store.Revision, yield func(store.Batch, error) bool) {
	stream, err := f.subscribe(ctx)
	if err != nil {
		yield(store.Batch{}, err)
		return
	}
	defer stream.Close()
	pending := make(chan []mvcc.WatchResponse)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go pump(ctx, stream.Chan(), pending)

	pos, ok := f.history(ctx, prefix, after, yield)
	for ok {
		select {
		case <-ctx.Done():
			yield(store.Batch{}, ctx.Err())
			return
		case responses := <-pending:
			pos, ok = deliver(responses, prefix, pos, yield)
		}
	}
}

func (f *follower) subscribe(ctx context.Context) (mvcc.WatchStream, error) {
	if err := f.enter(ctx); err != nil {
		return nil, err
	}
	defer f.leave()
	stream := f.server.Watchable().NewWatchStream()
	if _, err := stream.Watch(ctx, clientv3.AutoWatchID, []byte{0}, []byte{}, 0); err != nil {
		stream.Close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return stream, nil
}

// pump takes responses off etcd's short channel at once, so that etcd never
// parks the watch, and hands over all that have gathered.
func pump(ctx context.Context, in <-chan mvcc.WatchResponse, out chan<- []mvcc.WatchResponse) {
	var gathered []mvcc.WatchResponse
	for {
		take, give := in, out
		if len(gathered) == 0 {
			give = nil
		}
		if len(gathered) >= pendingLimit {
			take = nil
		}
		select {
		case <-ctx.Done():
			return
		case r, ok := <-take:
			if !ok {
				return
			}
			gathered = append(gathered, r)
		case give <- gathered:
			gathered = nil
		}
	}
}

// deliver turns responses into one batch and returns the new position.
func deliver(responses []mvcc.WatchResponse, prefix string, pos store.Revision, yield func(store.Batch, error) bool) (store.Revision, bool) {
	b := store.Batch{Revision: pos}
	for _, r := range responses {
		if r.CompactRevision != 0 {
			yield(store.Batch{}, store.ErrCompacted)
			return pos, false
		}
		for _, e := range r.Events {
			// Responses never split a revision, so this drops whole ones.
			if e.Kv.ModRevision <= pos {
				continue
			}
			b.Revision = e.Kv.ModRevision
			if strings.HasPrefix(string(e.Kv.Key), prefix) {
				b.Events = append(b.Events, event(e.Type == mvccpb.Event_DELETE, e.Kv))
			}
		}
	}
	if b.Revision == pos {
		return pos, true
	}
	return b.Revision, yield(b, nil)
}

// history delivers what happened after a revision and up to now.
func (f *follower) history(ctx context.Context, prefix string, pos store.Revision, yield func(store.Batch, error) bool) (store.Revision, bool) {
	for {
		b, err := f.read(ctx, prefix, pos)
		if err != nil {
			yield(store.Batch{}, err)
			return pos, false
		}
		if b.Revision <= pos {
			return pos, true
		}
		if pos = b.Revision; !yield(b, nil) {
			return pos, false
		}
	}
}

// read returns the changes of the next historyStep revisions after pos; the
// batch's revision is pos when there are none.
func (f *follower) read(ctx context.Context, prefix string, pos store.Revision) (store.Batch, error) {
	if err := f.enter(ctx); err != nil {
		return store.Batch{}, err
	}
	defer f.leave()
	kv := f.server.KV()
	b := store.Batch{Revision: pos}
	if last := kv.Rev(); last > pos {
		b.Revision = min(pos+historyStep, last)
		b.Events = f.events(prefix, pos+1, b.Revision+1)
	}
	// After reading: a compaction raises this mark before it deletes anything.
	if pos < kv.FirstRev() && pos+1 < kv.FirstRev() {
		return store.Batch{}, store.ErrCompacted
	}
	return b, nil
}

// events reads the revisions [from, end) from the database, which is ordered
// by revision.
func (f *follower) events(prefix string, from, end store.Revision) []store.Event {
	first := mvcc.RevToBytes(mvcc.Revision{Main: max(from, 0)}, mvcc.NewRevBytes())
	limit := mvcc.RevToBytes(mvcc.Revision{Main: end}, mvcc.NewRevBytes())
	tx := f.server.Backend().ConcurrentReadTx()
	tx.RLock()
	defer tx.RUnlock()
	revs, values := tx.UnsafeRange(schema.Key, first, limit, 0)
	var events []store.Event
	for i, value := range values {
		kv := new(mvccpb.KeyValue)
		if err := proto.Unmarshal(value, kv); err != nil {
			panic(fmt.Sprintf("etcd: database record at revision %d is not a key-value: %v", mvcc.BytesToRev(revs[i]).Main, err))
		}
		if !strings.HasPrefix(string(kv.Key), prefix) {
			continue
		}
		deleted := mvcc.IsTombstone(revs[i])
		if deleted {
			kv.ModRevision = mvcc.BytesToRev(revs[i]).Main // a tombstone holds only the key
		}
		events = append(events, event(deleted, kv))
	}
	return events
}

// event converts one change without copying the value.
func event(deleted bool, kv *mvccpb.KeyValue) store.Event {
	e := store.Event{Key: string(kv.Key), ModRevision: kv.ModRevision}
	if deleted {
		e.Type = store.Delete
		return e
	}
	e.Value = kv.Value
	if e.Value == nil {
		e.Value = []byte{}
	}
	e.Create = kv.CreateRevision == kv.ModRevision
	return e
}
