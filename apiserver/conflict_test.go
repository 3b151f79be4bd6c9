package apiserver_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/mem"
)

// heldStore keeps its changes from those who watch while hold is locked.
type heldStore struct {
	store.Store
	hold    sync.Mutex
	written chan struct{} // gets one for each write
	refused func()        // called before a writer learns that another was first
}

func (s *heldStore) Watch(ctx context.Context, prefix string, after store.Revision) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		for batch, err := range s.Store.Watch(ctx, prefix, after) {
			s.hold.Lock()
			s.hold.Unlock() //nolint:staticcheck // it is a gate
			if !yield(batch, err) {
				return
			}
		}
	}
}

func (s *heldStore) Write(ctx context.Context, w store.Write) (store.Revision, error) {
	revision, err := s.Store.Write(ctx, w)
	if conflict := new(store.ConflictError); errors.As(err, &conflict) {
		s.refused()
	}
	select {
	case s.written <- struct{}{}:
	default:
	}
	return revision, err
}

// Who is told that an object exists, has changed or is gone must find it so: the
// refusal waits until the view shows its reason.
func TestRefusalWaitsForItsReason(t *testing.T) {
	held := &heldStore{Store: mem.New(mem.Options{}), written: make(chan struct{}, 1), refused: func() {}}
	admin := apiservertest.StartOn(t, held).Client()
	settings := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	}
	do := func(ctx context.Context, op client.Op) (*corev1.ConfigMap, error) {
		return client.Do(ctx, admin, resource.ConfigMaps, op)
	}
	created := func(name string) *corev1.ConfigMap {
		obj, err := do(t.Context(), client.Create(resource.ConfigMaps, settings(name)))
		if err != nil {
			t.Fatal(err)
		}
		return obj
	}
	update := func(obj *corev1.ConfigMap, value string) client.Op {
		obj = obj.DeepCopy()
		obj.Data = map[string]string{"a": value}
		return client.Update(resource.ConfigMaps, obj)
	}
	changed, gone := created("changed"), created("gone")
	for what, test := range map[string]struct {
		first, second client.Op
		refusal       func(error) bool
	}{
		"create": {client.Create(resource.ConfigMaps, settings("new")), client.Create(resource.ConfigMaps, settings("new")), apierrors.IsAlreadyExists},
		"update": {update(changed, "1"), update(changed, "2"), apierrors.IsConflict},
		"delete": {client.Delete(resource.ConfigMaps, gone), update(gone, "1"), apierrors.IsNotFound},
	} {
		t.Run(what, func(t *testing.T) {
			select { // what was written before
			case <-held.written:
			default:
			}
			held.hold.Lock()
			first := make(chan error, 1)
			go func() {
				_, err := do(t.Context(), test.first)
				first <- err
			}()
			<-held.written
			ctx, cancel := context.WithCancel(t.Context())
			held.refused = cancel
			_, err := do(ctx, test.second)
			held.refused = func() {}
			held.hold.Unlock()
			if !apierrors.IsTimeout(err) {
				t.Errorf("before the view shows the first write the second got %v", err)
			}
			if err := <-first; err != nil {
				t.Error(err)
			}
			if _, err := do(t.Context(), test.second); !test.refusal(err) {
				t.Errorf("afterwards the second got %v", err)
			}
		})
	}
}
