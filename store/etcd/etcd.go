// Package etcd is the production store: an etcd member inside the process
// (Embed) or a remote etcd cluster (Connect). Keys and values are stored
// exactly as upstream's API server stores them.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/skiff-sh/skiff/store"
)

// Store implements store.Store on etcd's key-value service, whether called in
// the process or over the network.
type Store struct {
	kv     pb.KVClient
	leases *leases
	log    *slog.Logger
	member *member // nil when remote
	// follow runs one watch until its context ends; see follow.go and watch.go.
	follow func(ctx context.Context, prefix string, after store.Revision, yield func(store.Batch, error) bool)
	stop   func() error

	// running is held for reading by every operation, and for writing by Close,
	// so that etcd's database is not closed under a reader.
	running sync.RWMutex
	closed  bool
	ending  context.Context // cancelled when Close begins
	end     context.CancelFunc
}

var _ store.Store = (*Store)(nil)

// enter admits an operation; the caller must call s.running.RUnlock when done.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.running.RLock()
	if s.closed {
		s.running.RUnlock()
		return store.ErrClosed
	}
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, store.Revision, error) {
	if err := s.enter(ctx); err != nil {
		return store.Entry{}, 0, err
	}
	defer s.running.RUnlock()
	resp, err := s.kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
	if err != nil {
		return store.Entry{}, 0, fmt.Errorf("get %s: %w", key, readError(err))
	}
	if len(resp.Kvs) == 0 {
		return store.Entry{}, resp.Header.Revision, store.ErrNotFound
	}
	return entry(resp.Kvs[0]), resp.Header.Revision, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, r store.Range) (store.Page, error) {
	if err := s.enter(ctx); err != nil {
		return store.Page{}, err
	}
	defer s.running.RUnlock()
	from, end := keyRange(r.Bounds())
	resp, err := s.kv.Range(ctx, &pb.RangeRequest{Key: from, RangeEnd: end, Limit: int64(r.Limit), Revision: r.Revision})
	if err != nil {
		return store.Page{}, fmt.Errorf("list %s at revision %d: %w", r.Prefix, r.Revision, readError(err))
	}
	p := store.Page{Revision: resp.Header.Revision, More: resp.More}
	if r.Revision != 0 {
		p.Revision = r.Revision
	}
	if len(resp.Kvs) > 0 {
		p.Entries = make([]store.Entry, len(resp.Kvs))
	}
	for i, kv := range resp.Kvs {
		p.Entries[i] = entry(kv)
	}
	return p, nil
}

// Revision implements store.Store.
func (s *Store) Revision(ctx context.Context) (store.Revision, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.running.RUnlock()
	return s.revision(ctx)
}

// revision asks for a key that cannot exist: the header is the answer.
func (s *Store) revision(ctx context.Context) (store.Revision, error) {
	resp, err := s.kv.Range(ctx, &pb.RangeRequest{Key: []byte{0}, KeysOnly: true, Limit: 1})
	if err != nil {
		return 0, fmt.Errorf("read revision: %w", readError(err))
	}
	return resp.Header.Revision, nil
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, rev store.Revision) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.running.RUnlock()
	if _, err := s.kv.Compact(ctx, &pb.CompactionRequest{Revision: rev}); err != nil {
		return fmt.Errorf("compact to revision %d: %w", rev, readError(err))
	}
	return nil
}

// Watch implements store.Store. Events carry no PrevValue: asking etcd for it
// costs a read per event.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		running, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(s.ending, func() { cancel(store.ErrClosed) })()
		s.follow(running, prefix, after, func(b store.Batch, err error) bool {
			if cause := context.Cause(running); err != nil && cause != nil {
				err = cause
			}
			if err != nil {
				err = fmt.Errorf("watch %s: %w", prefix, err)
			}
			return yield(b, err)
		})
	}
}

// Close implements store.Store. It waits for operations under way, which
// etcd's own time limit of some five seconds bounds.
func (s *Store) Close() error {
	s.end()
	s.running.Lock()
	defer s.running.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.stop()
}

// compactLoop forgets, every interval, what was already old at the previous
// turn: history is kept for one to two intervals. An idle store is left alone.
func (s *Store) compactLoop(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var old store.Revision
	for {
		select {
		case <-s.ending.Done():
			return
		case <-tick.C:
		}
		rev, err := s.Revision(s.ending)
		if err == nil && old > 0 && rev > old {
			err = s.Compact(s.ending, old)
		}
		// ErrCompacted: another server has been quicker.
		if err != nil && !errors.Is(err, store.ErrCompacted) && s.ending.Err() == nil {
			s.log.Warn("compact store", "revision", old, "err", err)
			continue
		}
		old = rev
	}
}

// entry converts without copying the value.
func entry(kv *mvccpb.KeyValue) store.Entry {
	value := kv.Value
	if value == nil {
		value = []byte{}
	}
	return store.Entry{Key: string(kv.Key), Value: value, ModRevision: kv.ModRevision, CreateRevision: kv.CreateRevision}
}

// keyRange converts bounds to etcd's: "\0" stands for the first key, and as an
// end for "unbounded".
func keyRange(from, end string) (key, rangeEnd []byte) {
	if from == "" {
		from = "\x00"
	}
	if end == "" {
		end = "\x00"
	}
	return []byte(from), []byte(end)
}

// readError maps etcd's errors to the store's.
func readError(err error) error {
	err = rpctypes.Error(err)
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return store.ErrCompacted
	case errors.Is(err, rpctypes.ErrFutureRev):
		return store.ErrFuture
	}
	return err
}
