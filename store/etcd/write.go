package etcd

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/skiff-sh/skiff/store"
)

// Write implements store.Store: one transaction, whose else-branch reads the
// entry that stands in the way.
func (s *Store) Write(ctx context.Context, w store.Write) (store.Revision, error) {
	if err := w.Check(); err != nil {
		return 0, err
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.running.RUnlock()
	if w.TTL > 0 {
		return s.writeLeased(ctx, w)
	}
	return s.write(ctx, w, 0)
}

// writeLeased writes under a shared lease, and once more when that lease has
// just run out.
func (s *Store) writeLeased(ctx context.Context, w store.Write) (store.Revision, error) {
	for again := true; ; again = false {
		lease, err := s.leases.get(ctx, w.TTL)
		if err != nil {
			return 0, fmt.Errorf("write %s: grant lease: %w", w.Key, err)
		}
		rev, err := s.write(ctx, w, lease)
		if again && errors.Is(err, rpctypes.ErrLeaseNotFound) {
			s.leases.forget(lease)
			continue
		}
		return rev, err
	}
}

func (s *Store) write(ctx context.Context, w store.Write, lease int64) (store.Revision, error) {
	resp, err := s.kv.Txn(ctx, transaction(w, lease))
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", w.Key, writeError(err))
	}
	if !resp.Succeeded {
		return 0, refused(w, resp)
	}
	if w.Value == nil && resp.Responses[0].GetResponseDeleteRange().Deleted == 0 {
		return 0, store.ErrNotFound
	}
	return resp.Header.Revision, nil
}

func transaction(w store.Write, lease int64) *pb.TxnRequest {
	key := []byte(w.Key)
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: key, Value: w.Value, Lease: lease},
	}}
	if w.Value == nil {
		op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}
	}
	txn := &pb.TxnRequest{Success: []*pb.RequestOp{op}}
	if w.While.Key != "" {
		guard := []byte(w.While.Key)
		txn.Compare = append(txn.Compare, &pb.Compare{
			Result: pb.Compare_EQUAL, Target: pb.Compare_CREATE, Key: guard,
			TargetUnion: &pb.Compare_CreateRevision{CreateRevision: w.While.Created},
		})
		txn.Failure = append(txn.Failure, read(guard))
	}
	if w.If != store.IfAny {
		// ModRevision 0 is etcd's way to say that the key does not exist.
		txn.Compare = append(txn.Compare, &pb.Compare{
			Result: pb.Compare_EQUAL, Target: pb.Compare_MOD, Key: key,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: w.If},
		})
		txn.Failure = append(txn.Failure, read(key))
	}
	return txn
}

func read(key []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}
}

// refused says which condition did not hold, from what the else-branch read.
func refused(w store.Write, resp *pb.TxnResponse) error {
	found := resp.Responses
	if w.While.Key != "" {
		guard := found[0].GetResponseRange().Kvs
		if len(guard) == 0 || guard[0].CreateRevision != w.While.Created {
			return fmt.Errorf("write %s: %w", w.Key, store.ErrFenced)
		}
		found = found[1:]
	}
	c := &store.ConflictError{Key: w.Key}
	if kvs := found[0].GetResponseRange().Kvs; len(kvs) > 0 {
		c.Current, c.Exists = entry(kvs[0]), true
	}
	return c
}

// refusals are etcd's answers that say for certain that nothing was written.
// Whatever is not on this list may have been proposed before it failed.
func refusals() []error {
	return []error{
		rpctypes.ErrNoSpace, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyRequests,
		rpctypes.ErrLeaseNotFound, rpctypes.ErrNoLeader, rpctypes.ErrNotCapable, rpctypes.ErrCorrupt,
		rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrInvalidAuthToken,
		rpctypes.ErrEmptyKey, rpctypes.ErrTooManyOps,
	}
}

// writeError marks an error whose outcome is unknown with ErrUncertain.
func writeError(err error) error {
	err = rpctypes.Error(err)
	for _, refusal := range refusals() {
		if errors.Is(err, refusal) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", store.ErrUncertain, err)
}
