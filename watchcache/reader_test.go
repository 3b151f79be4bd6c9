package watchcache_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

func putPod(revision int64, namespace, name, node string) watchcache.Update {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{NodeName: node}}
	info := resource.Pods.Info
	return watchcache.Update{Info: info, Key: view.KeyOf(pod), Entry: view.NewEntry(info, pod, revision), Revision: revision}
}

// in tells whether an entry lies in a bucket, in the plainest way.
func in(b watchcache.Bucket, e *view.Entry) bool {
	if e == nil {
		return false
	}
	pod := e.Object.(*corev1.Pod)
	return (b.Namespace == "" || b.Namespace == pod.Namespace) && (b.Name == "" || b.Name == pod.Name) &&
		(b.Index == "" || b.Value == pod.Spec.NodeName)
}

// A reader of a bucket is woken by every change of it, and by no other: readers
// that poll only when woken, in a log much shorter than the pauses between their
// changes, rebuild what a naive model holds.
func TestBucketsWakeWhomTheyConcern(t *testing.T) {
	buckets := []watchcache.Bucket{
		{}, {Namespace: "a"}, {Namespace: "b"}, {Namespace: "a", Name: "0"},
		{Index: resource.PodNodeIndex, Value: "n0"}, {Index: resource.PodNodeIndex, Value: "n1"}, {Namespace: "rare", Name: "0"},
	}
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		cache := watchcache.New(4)
		model := map[view.Key]*view.Entry{}
		readers := make([]*watchcache.Reader, len(buckets))
		states := make([]map[view.Key]int64, len(buckets))
		for i, b := range buckets {
			readers[i], states[i] = cache.ReadBucket(0, resource.Pods.Info, b), map[view.Key]int64{}
			<-readers[i].Ready() // each starts with one wake-up
			if _, _, err := readers[i].Poll(); err != nil {
				t.Fatal(err)
			}
		}
		for revision := int64(1); revision <= 300; revision++ {
			u := putPod(revision, []string{"a", "b", "c"}[rnd.IntN(3)], fmt.Sprint(rnd.IntN(3)), fmt.Sprint("n", rnd.IntN(3)))
			if rnd.IntN(60) == 0 {
				u = putPod(revision, "rare", "0", "n9")
			}
			old := model[u.Key]
			if old != nil && rnd.IntN(3) == 0 {
				u.Entry = nil
			}
			model[u.Key] = u.Entry
			cache.Apply([]watchcache.Update{u}, revision)
			for i, b := range buckets {
				woken := false
				select {
				case <-readers[i].Ready():
					woken = true
				default:
				}
				if want := in(b, old) || in(b, u.Entry); woken != want {
					t.Fatalf("seed %d: bucket %+v woken %v, want %v", seed, b, woken, want)
				}
				if woken {
					follow(t, readers[i], b, states[i])
				}
				if got := readers[i].Position(); got != revision {
					t.Fatalf("seed %d: bucket %+v is at %d, want %d", seed, b, got, revision)
				}
				if want := expected(b, model); !maps.Equal(states[i], want) {
					t.Fatalf("seed %d at %d: bucket %+v has %v, want %v", seed, revision, b, states[i], want)
				}
			}
		}
	}
}

func expected(b watchcache.Bucket, model map[view.Key]*view.Entry) map[view.Key]int64 {
	want := map[view.Key]int64{}
	for key, e := range model {
		if in(b, e) {
			want[key] = e.Revision
		}
	}
	return want
}

func follow(t *testing.T, r *watchcache.Reader, b watchcache.Bucket, state map[view.Key]int64) {
	t.Helper()
	changes, _, err := r.Poll()
	if err != nil {
		t.Fatalf("bucket %+v: %v", b, err)
	}
	for _, c := range changes {
		switch {
		case in(b, c.New):
			state[c.New.Key] = c.Revision
		case in(b, c.Old):
			delete(state, c.Old.Key)
		}
	}
}

// A reader of a bucket that waits for long falls behind only for changes of its
// own.
func TestBucketFallsBehind(t *testing.T) {
	cache := watchcache.New(4)
	r := cache.ReadBucket(0, resource.Pods.Info, watchcache.Bucket{Namespace: "a"})
	if _, _, err := r.Poll(); err != nil {
		t.Fatal(err)
	}
	for revision := int64(1); revision <= 20; revision++ {
		cache.Apply([]watchcache.Update{putPod(revision, "b", "x", "")}, revision)
	}
	cache.Apply([]watchcache.Update{putPod(21, "a", "x", "")}, 21)
	if changes, _, err := r.Poll(); err != nil || len(changes) != 1 {
		t.Errorf("after many changes of others: %d changes, %v", len(changes), err)
	}
	for revision := int64(22); revision <= 40; revision++ {
		cache.Apply([]watchcache.Update{putPod(revision, "a", "x", "")}, revision)
	}
	if _, _, err := r.Poll(); !errors.Is(err, watchcache.ErrTooOld) {
		t.Errorf("after many changes of its own: %v, want ErrTooOld", err)
	}
}

// A reader that has seen everything is too late after a Reset, also when the
// first it hears of is a change that came after it.
func TestResetThenChangeIsTooOld(t *testing.T) {
	cache := watchcache.New(0)
	cache.Apply([]watchcache.Update{putPod(1, "a", "0", "")}, 1)
	r := cache.Read(1, resource.Pods.Info)
	defer r.Close()
	if changes, _, err := r.Poll(); err != nil || len(changes) > 0 {
		t.Fatal(changes, err)
	}
	edit := cache.View().Edit()
	edit.Put(putPod(2, "a", "1", "").Entry)
	cache.Reset(edit.View(2))
	cache.Apply([]watchcache.Update{putPod(3, "a", "2", "")}, 3)
	if changes, _, err := r.Poll(); !errors.Is(err, watchcache.ErrTooOld) {
		t.Errorf("got %d changes and %v, without what the Reset brought; want %v", len(changes), err, watchcache.ErrTooOld)
	}
}
