package controller_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// copier makes a Secret for each ConfigMap.
func copier(calls *atomic.Int64) controller.Controller {
	return controller.Controller{
		Name:   "copier",
		For:    resource.ConfigMaps.Info,
		Reads:  []controller.Input{{Kind: resource.Secrets.Info, Keys: func(_ *view.View, o resource.Object) []view.Key { return []view.Key{view.KeyOf(o)} }}},
		Writes: []controller.Output{{Kind: resource.Secrets.Info, Verbs: []resource.Verb{resource.Create, resource.Delete}}},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			calls.Add(1)
			secret, have := view.Get(v, resource.Secrets, key.Namespace, key.Name)
			_, want := view.Get(v, resource.ConfigMaps, key.Namespace, key.Name)
			var plan controller.Plan
			if want && !have {
				plan.Do = append(plan.Do, client.Create(resource.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}))
			}
			if !want && have {
				plan.Do = append(plan.Do, client.Delete(resource.Secrets, secret))
			}
			return plan
		},
	}
}

// start runs controllers in the bubble and ends them with the test.
func start(t *testing.T, c client.Client, deps controller.Deps, controllers ...controller.Controller) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- controller.Run(ctx, c, controllers, deps) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	}
}

func TestRunFollowsTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := clienttest.New()
		for i := range 20 {
			c.Put(resource.ConfigMaps.Info, configMap(fmt.Sprint("early-", i)))
		}
		stop := start(t, c, controller.Deps{}, copier(&calls))
		synctest.Wait()
		for i := range 20 {
			c.Put(resource.ConfigMaps.Info, configMap(fmt.Sprint("late-", i)))
			c.Remove(resource.ConfigMaps.Info, view.Key{Namespace: "default", Name: fmt.Sprint("early-", i)})
		}
		synctest.Wait()
		var names []string
		for s := range view.List(c.View(), resource.Secrets, "") {
			names = append(names, s.Name)
		}
		if len(names) != 20 || !strings.HasPrefix(names[0], "late-") {
			t.Errorf("secrets %v, want 20 that are late", names)
		}
		stop()
	})
}

// TestRunAsksAboutWhatIsWanted: objects that the controller does not want cost no
// call, whether they were there or come.
func TestRunAsksAboutWhatIsWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := clienttest.New()
		for _, name := range []string{"early", "wanted-early"} {
			c.Put(resource.ConfigMaps.Info, configMap(name))
		}
		picky := copier(&calls)
		picky.Wants = func(obj resource.Object) bool { return strings.HasPrefix(obj.GetName(), "wanted") }
		stop := start(t, c, controller.Deps{}, picky)
		synctest.Wait()
		for _, name := range []string{"late", "wanted-late"} {
			c.Put(resource.ConfigMaps.Info, configMap(name))
		}
		synctest.Wait()
		var names []string
		for e := range c.View().Entries(resource.Secrets.Info, "", view.Key{}) {
			names = append(names, e.Key.Name)
		}
		if got := strings.Join(names, " "); got != "wanted-early wanted-late" {
			t.Errorf("copied %q", got)
		}
		stop()
	})
}

// TestRunWaitsForItsWrites: while the view is behind, a key is not called again.
func TestRunWaitsForItsWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := clienttest.New()
		c.Put(resource.ConfigMaps.Info, configMap("a"))
		c.Before = func(client.Op) error { c.Hold(); return nil }
		stop := start(t, c, controller.Deps{}, copier(&calls))
		time.Sleep(time.Hour) // of the bubble's time
		synctest.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls while the view is behind, want 1", n)
		}
		c.Release()
		synctest.Wait()
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls once the view has the write, want 2", n)
		}
		stop()
	})
}

func TestRunTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		c := clienttest.New()
		fail := 3
		c.Before = func(op client.Op) error {
			if fail--; fail >= 0 {
				return errors.New("no luck")
			}
			return nil
		}
		c.Put(resource.ConfigMaps.Info, configMap("a"))
		begin := time.Now()
		stop := start(t, c, controller.Deps{}, copier(&calls))
		for c.View().Len(resource.Secrets.Info) == 0 {
			time.Sleep(time.Millisecond)
		}
		if d := time.Since(begin); d < 35*time.Millisecond || d > 40*time.Millisecond {
			t.Errorf("done after %s, want 5+10+20 ms", d)
		}
		stop()
	})
}

func TestRunRefusesUndeclaredWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		ctl := copier(&calls)
		ctl.Writes = ctl.Writes[:0]
		c := clienttest.New()
		c.Put(resource.ConfigMaps.Info, configMap("a"))
		step, err := controller.NewStepper(c, []controller.Controller{ctl}, controller.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		defer step.Close()
		if _, err := step.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "does not declare this write") {
			t.Errorf("error %v, want one about the undeclared write", err)
		}
	})
}

// TestRunManyCreates: what a plan creates goes side by side, told of as it
// succeeds, and ends soon after the first refusal.
func TestRunManyCreates(t *testing.T) {
	const pods, latency, quota = 500, 5 * time.Millisecond, 200
	for _, limit := range []int64{pods, quota} {
		synctest.Test(t, func(t *testing.T) {
			var made, refused, told atomic.Int64
			c := clienttest.New()
			c.Before = func(op client.Op) error {
				time.Sleep(latency)
				if made.Add(1) > limit {
					refused.Add(1)
					return errors.New("quota")
				}
				return nil
			}
			ctl := controller.Controller{
				Name: "many", For: resource.ConfigMaps.Info,
				Writes: []controller.Output{{Kind: resource.Secrets.Info, Verbs: []resource.Verb{resource.Create}}},
				Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) (plan controller.Plan) {
					for i := range pods {
						s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("s-", i)}}
						plan.Do = append(plan.Do, client.Create(resource.Secrets, s))
						plan.Events = append(plan.Events, controller.Note{After: len(plan.Do), Note: event.Note{About: s, Kind: resource.Secrets.Info}})
					}
					plan.Failed = func(client.Op, error) controller.Plan { return controller.Plan{} }
					return plan
				},
			}
			c.Put(resource.ConfigMaps.Info, configMap("a"))
			begin := time.Now()
			stop := start(t, c, controller.Deps{Notes: func(controller.Controller, event.Note) { told.Add(1) }}, ctl)
			synctest.Wait()
			for made.Load() < limit {
				time.Sleep(latency)
			}
			d := time.Since(begin)
			time.Sleep(10 * latency)
			synctest.Wait()
			if told.Load() != limit || refused.Load() > 32 || d > 25*latency {
				t.Errorf("limit %d: %d told, %d refused, took %s; want all told, at most 32 refused, within %s", limit, told.Load(), refused.Load(), d, 25*latency)
			}
			stop()
		})
	}
}

func TestRunSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		ctl := copier(&calls)
		inner := ctl.Reconcile
		ctl.Reconcile = func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
			if calls.Load() == 0 {
				calls.Add(1)
				panic("oops")
			}
			return inner(v, key, now, rnd)
		}
		c := clienttest.New()
		c.Put(resource.ConfigMaps.Info, configMap("a"))
		stop := start(t, c, controller.Deps{}, ctl)
		time.Sleep(time.Second)
		if c.View().Len(resource.Secrets.Info) != 1 {
			t.Error("the key is not tried again after a panic")
		}
		stop()
	})
}

// counting keeps how often it was called; failures start over at 100.
func counting(seen *[]any) controller.Controller {
	ctl := copier(new(atomic.Int64))
	ctl.Reconcile = nil
	ctl.Recall = func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand, kept any) controller.Plan {
		*seen = append(*seen, kept)
		cm, ok := view.Get(v, resource.ConfigMaps, key.Namespace, key.Name)
		if !ok {
			return controller.Plan{}
		}
		n, _ := kept.(int)
		plan := controller.Plan{Keep: n + 1}
		if cm.Data["fail"] != "" {
			plan.Do = []client.Op{client.Create(resource.Pods, &corev1.Pod{})} // not declared
			plan.Failed = func(client.Op, error) controller.Plan { return controller.Plan{Keep: 100} }
		}
		return plan
	}
	return ctl
}

func TestRunKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []any
		c := clienttest.New()
		stop := start(t, c, controller.Deps{}, counting(&seen))
		put := func(data map[string]string) {
			cm := configMap("a")
			cm.Data = data
			c.Put(resource.ConfigMaps.Info, cm)
			synctest.Wait()
		}
		put(nil)
		put(map[string]string{"a": "b"})
		put(map[string]string{"fail": "yes"})
		put(nil)
		c.Remove(resource.ConfigMaps.Info, view.Key{Namespace: "default", Name: "a"})
		synctest.Wait()
		put(nil)
		stop()
		if got, want := fmt.Sprint(seen), "[<nil> 1 2 100 101 <nil>]"; got != want {
			t.Errorf("called with %s, want %s", got, want)
		}
	})
}
