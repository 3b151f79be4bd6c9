package etcd

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/skiff-sh/skiff/store"
)

// remote watches over the network. Progress comes with the events under the
// prefix and otherwise every few minutes, when the server sends it.
type remote struct{ client *clientv3.Client }

func (r remote) follow(ctx context.Context, prefix string, after store.Revision, yield func(store.Batch, error) bool) {
	key, end := keyRange(prefix, store.PrefixEnd(prefix))
	// Without a leader a cut-off member would keep the watch open in silence.
	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// Fragments of one response are put together by the client.
	responses := r.client.Watch(watching, string(key), clientv3.WithRange(string(end)), clientv3.WithRev(after+1),
		clientv3.WithFragment(), clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	for resp := range responses {
		if err := resp.Err(); err != nil {
			yield(store.Batch{}, readError(err))
			return
		}
		if b, ok := remoteBatch(&resp, after); ok {
			if !yield(b, nil) {
				return
			}
			after = b.Revision
		}
	}
	err := ctx.Err()
	if err == nil {
		err = context.Canceled // the client was closed
	}
	yield(store.Batch{}, err)
}

// remoteBatch converts a response; false when it brings nothing.
func remoteBatch(resp *clientv3.WatchResponse, after store.Revision) (store.Batch, bool) {
	if resp.IsProgressNotify() {
		return store.Batch{Revision: resp.Header.Revision}, resp.Header.Revision > after
	}
	if len(resp.Events) == 0 {
		return store.Batch{}, false
	}
	b := store.Batch{Events: make([]store.Event, len(resp.Events))}
	for i, e := range resp.Events {
		b.Events[i] = event(e.Type == mvccpb.Event_DELETE, e.Kv)
	}
	// The header's revision may be beyond the last event delivered.
	b.Revision = b.Events[len(b.Events)-1].ModRevision
	return b, true
}
