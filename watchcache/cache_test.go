package watchcache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

var info = resource.ConfigMaps.Info

func put(revision int64, namespace, name string) watchcache.Update {
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return watchcache.Update{Info: info, Key: view.KeyOf(obj), Entry: view.NewEntry(info, obj, revision), Revision: revision}
}

func remove(revision int64, namespace, name string) watchcache.Update {
	return watchcache.Update{Info: info, Key: view.Key{Namespace: namespace, Name: name}, Revision: revision}
}

// A watcher sees every event of its kind once, in order, or ErrTooOld: readers
// that join and poll at random times rebuild what a naive model holds.
func TestReadersSeeEverythingOnceOrTooOld(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cache := watchcache.New(8)
		model := map[view.Key]int64{}
		type follower struct {
			*watchcache.Reader
			state map[view.Key]int64
		}
		var followers []*follower
		for revision := int64(1); revision <= 200; revision++ {
			name := fmt.Sprint(rnd.IntN(6))
			u := put(revision, "ns", name)
			if _, exists := model[u.Key]; exists && rnd.IntN(3) == 0 {
				u = remove(revision, "ns", name)
				delete(model, u.Key)
			} else {
				model[u.Key] = revision
			}
			cache.Apply([]watchcache.Update{u}, revision)
			if rnd.IntN(10) == 0 {
				followers = append(followers, &follower{cache.Read(cache.View().Revision(), info), maps.Clone(model)})
			}
			for _, f := range followers {
				if rnd.IntN(4) != 0 {
					continue
				}
				before := f.Position()
				changes, v, err := f.Poll()
				if err != nil {
					if !errors.Is(err, watchcache.ErrTooOld) || revision-before <= 4 {
						t.Fatalf("seed %d: poll %d behind: %v", seed, revision-before, err)
					}
					f.Close()
					*f = follower{cache.Read(v.Revision(), info), maps.Clone(model)}
					continue
				}
				for _, c := range changes {
					if c.Revision <= before {
						t.Fatalf("seed %d: revision %d after %d", seed, c.Revision, before)
					}
					before = c.Revision
					if c.New == nil {
						delete(f.state, c.Old.Key)
					} else {
						f.state[c.New.Key] = c.Revision
					}
				}
				if !maps.Equal(f.state, model) {
					t.Fatalf("seed %d at %d: a reader has %v, want %v", seed, revision, f.state, model)
				}
			}
		}
	}
}

func TestViewsStayAsTheyAre(t *testing.T) {
	cache := watchcache.New(0)
	cache.Apply([]watchcache.Update{put(1, "a", "x"), put(1, "b", "y")}, 1)
	before := cache.View()
	cache.Apply([]watchcache.Update{remove(2, "a", "x"), put(2, "b", "z")}, 2)
	if before.Len(info) != 2 || before.Entry(info, view.Key{Namespace: "a", Name: "x"}) == nil {
		t.Error("a view changed after it was taken")
	}
	var names []string
	for m := range view.List(cache.View(), resource.ConfigMaps, "b") {
		names = append(names, m.Name)
	}
	if fmt.Sprint(names) != "[y z]" {
		t.Errorf("the new view holds %v", names)
	}
}

func TestResetCutsOffReaders(t *testing.T) {
	cache := watchcache.New(0)
	cache.Apply([]watchcache.Update{put(1, "a", "x")}, 1)
	r := cache.Read(1, info)
	defer r.Close()
	cache.Reset((&view.View{}).Edit().View(9))
	if _, _, err := r.Next(t.Context()); !errors.Is(err, watchcache.ErrTooOld) {
		t.Errorf("got %v, want ErrTooOld", err)
	}
	if late := cache.Read(5, info); !late.Behind() {
		t.Error("a reader from before the reset is not behind")
	}
}

func TestWaitFor(t *testing.T) {
	cache := watchcache.New(0)
	var wg sync.WaitGroup
	for want := int64(1); want <= 3; want++ {
		wg.Go(func() {
			v, err := cache.WaitFor(t.Context(), want)
			if err != nil || v.Revision() < want {
				t.Errorf("wait for %d: revision %v, %v", want, v.Revision(), err)
			}
		})
	}
	for revision := int64(1); revision <= 3; revision++ {
		cache.Apply(nil, revision)
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := cache.WaitFor(ctx, 99); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

// TestFormsLeaveWithTheLog: what an object looks like encoded is kept while its
// change is in the log, and not for ever.
func TestFormsLeaveWithTheLog(t *testing.T) {
	cache := watchcache.New(4)
	var forms [][]byte
	for revision := int64(1); revision <= 12; revision++ {
		u := putPod(revision, "a", fmt.Sprint(revision), "")
		forms = append(forms, u.Entry.JSON())
		cache.Apply([]watchcache.Update{u}, revision)
	}
	kept := 0
	for e := range cache.View().Entries(resource.Pods.Info, "a", view.Key{}) {
		before := forms[e.Revision-1]
		now := e.JSON()
		if string(now) != string(before) {
			t.Errorf("%s is encoded as %s, before as %s", e.Key, now, before)
		}
		if &now[0] == &before[0] {
			kept++
		}
	}
	if kept < 1 || kept > 4 {
		t.Errorf("%d forms are kept beside a log of 4 changes", kept)
	}
}
