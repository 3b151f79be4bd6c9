package sim

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// mutant is a mistake that upstream once made, seeded into one of our controllers:
// not what it led to, but how it came about.
type mutant struct {
	issue int    // of github.com/kubernetes/kubernetes: an issue or a pull request
	title string // what it is about
	in    string // controller
	with  func(c *controller.Controller)
	found string // part of what the simulator says of it
	story string // that meets with it; "" where seeds do
}

// tries is in how many seeds, or orders of its story, a mistake must be found.
const tries = 60

func mutants() []mutant {
	pods, slices := resource.Pods.Info, resource.EndpointSlices.Info
	return []mutant{
		{129795, "ReplicaSet controller may create extra Pods when expectations expire during informer delays", "replicaset", late(pods), "pods, of", ""},
		{138818, "ReplicaSet controller deletes pods that have been orphaned", "replicaset", unconditional(late(pods)), "is not its own", "a pod is let go while its ReplicaSet shrinks"},
		{30629, "Controllers hotloop on unexpected API server rejections", "replicaset", impatient, "is refused", "a quota holds pods back until it is raised"},
		{130103, "Job controller accidentally created two pods even if the Job asks for one", "job", late(pods), "at work, of", ""},
		{105200, "Tracking with finalizers might count a Pod more than once", "job", seeing(lateUncounted()), "counts", "a job completes"},
		{107827, "CronJob not honoring concurrencyPolicy: Forbid", "cronjob", late(resource.Jobs.Info), "beside", "a cron job forbids a second run"},
		{88097, "Garbage collector deleted wrong resources, whose owners were live and well", collector, seeing(misremembered()), "lives", "a reference names the wrong kind"},
		{109748, "GC doesn't delete already orphaned objects after startup", collector, seeing(onlyWitnessed()), "is an orphan", ""},
		{26120, "OrphanDependents does not orphan all dependents that the collector has not observed yet", collector, unobserved(resource.ReplicaSets.Info, pods), "was to leave it", "a deployment without pods leaves its ReplicaSet"},
		{115570, "foreground cascading deletion is stuck when the collector lost the first event", collector, losingFirst, "still being deleted", ""},
		{42571, "Deployment not completely scaling down old RS", "deployment", deaf(resource.ReplicaSets.Info, pods), "has not settled", "a deployment without a deadline rolls"},
		{22719, "deployment should support rollover [minUnavailable/maxSurge violated]", "deployment", seeing(lastTwo), "asks for", ""},
		{124264, "observedGeneration changes before the rest of the status does", "deployment", observedFirst, "says that it is rolled out", "a deployment rolls and rolls back"},
		{89056, "EndpointSlice should not contain endpoints for terminating pods", "endpointslice", seeing(neverTerminating), "is going", ""},
		{85353, "EndpointSliceController does not react to updated or deleted EndpointSlice objects", "endpointslice", deaf(slices), "pods, of", "someone deletes an endpoint slice"},
		{82149, "PodDisruptionBudget can be violated by disruption controller", "disruption", seeing(noneDisrupted), "disruptions, of", "a node is drained as a budget allows"},
		{37554, "Namespace stuck on terminating on delete", "namespace", deaf(), "still being deleted", ""},
		{23013, "DaemonSet doesn't run in all nodes", "daemon-set", deaf(resource.Nodes.Info), "has not settled", "a DaemonSet comes to nodes as they are labelled"},
	}
}

// sight is what a controller sees in place of v when it decides about key.
type sight func(v *view.View, key view.Key, rnd *rand.Rand) *view.View

// seeing lets a controller decide by something else than what there is.
func seeing(see sight) func(*controller.Controller) {
	return func(c *controller.Controller) {
		good := c.Reconcile
		c.Reconcile = func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
			return good(see(v, key, rnd), key, now, rnd)
		}
	}
}

// late lets a controller see some kinds as they were some views ago: each kind has
// an informer of its own, and what was expected of it has been forgotten.
func late(kinds ...*resource.Info) func(*controller.Controller) {
	return func(c *controller.Controller) {
		const most = 6
		var views []*view.View // the latest first
		seeing(func(v *view.View, _ view.Key, rnd *rand.Rand) *view.View {
			if len(views) == 0 || views[0].Revision() < v.Revision() {
				views = slices.Insert(views, 0, v)
			}
			views = views[:min(most, len(views))]
			return mixed(v, views[rnd.IntN(len(views))], kinds)
		})(c)
	}
}

// mixed is v with some kinds as they are in old.
func mixed(v, old *view.View, kinds []*resource.Info) *view.View {
	edit := v.Edit()
	for _, kind := range kinds {
		for e := range v.Entries(kind, "", view.Key{}) {
			edit.Delete(kind, e.Key)
		}
		for e := range old.Entries(kind, "", view.Key{}) {
			edit.Put(e)
		}
	}
	return edit.View(v.Revision())
}

// unobserved lets a controller see each object of some kinds only after a while.
func unobserved(kinds ...*resource.Info) func(*controller.Controller) {
	return func(c *controller.Controller) {
		observed := map[types.UID]bool{}
		seeing(func(v *view.View, _ view.Key, rnd *rand.Rand) *view.View {
			edit := v.Edit()
			for _, kind := range kinds {
				for e := range v.Entries(kind, "", view.Key{}) {
					if uid := e.Object.GetUID(); !observed[uid] {
						edit.Delete(kind, e.Key)
						observed[uid] = rnd.IntN(4) == 0
					}
				}
			}
			return edit.View(v.Revision())
		})(c)
	}
}

// lateUncounted sees late that the finalizer is off a pod that was counted.
func lateUncounted() sight {
	tracked := map[types.UID]*view.Entry{} // as they were with the finalizer
	return func(v *view.View, key view.Key, rnd *rand.Rand) *view.View {
		edit := v.Edit()
		for e := range v.Entries(resource.Pods.Info, key.Namespace, view.Key{}) {
			uid := e.Object.GetUID()
			if slices.Contains(e.Object.GetFinalizers(), batchv1.JobTrackingFinalizer) {
				tracked[uid] = e
			} else if old := tracked[uid]; old != nil && rnd.IntN(2) == 0 {
				edit.Put(old)
			}
		}
		return edit.View(v.Revision())
	}
}

// unconditional is another mistake, by a controller that also deletes whatever has
// the name.
func unconditional(mistake func(*controller.Controller)) func(*controller.Controller) {
	return func(c *controller.Controller) {
		mistake(c)
		good := c.Reconcile
		c.Reconcile = func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
			plan := good(v, key, now, rnd)
			for i := range plan.Do {
				plan.Do[i].Delete = nil
			}
			return plan
		}
	}
}

// impatient tries again at once what was refused.
func impatient(c *controller.Controller) {
	good := c.Reconcile
	c.Reconcile = func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
		plan := good(v, key, now, rnd)
		if len(plan.Do) > 0 {
			plan.Again = time.Millisecond
			plan.Failed = func(client.Op, error) controller.Plan { return controller.Plan{} }
		}
		return plan
	}
}

// deaf is not woken by changes of kinds, or of any but its own.
func deaf(kinds ...*resource.Info) func(*controller.Controller) {
	return func(c *controller.Controller) {
		c.Reads = slices.Clone(c.Reads)
		for i := range c.Reads {
			if len(kinds) == 0 || slices.Contains(kinds, c.Reads[i].Kind) {
				c.Reads[i].Keys = nil
			}
		}
	}
}

// collected is the object that a key of the collector names; nil if it is gone.
func collected(v *view.View, key view.Key) resource.Object {
	kind, namespace, _ := strings.Cut(key.Namespace, "/")
	for _, info := range resource.All() {
		if info.GR().String() != kind {
			continue
		}
		if e := v.Entry(info, view.Key{Namespace: namespace, Name: key.Name}); e != nil {
			return e.Object
		}
	}
	return nil
}

// owning finds what a reference names.
func owning(v *view.View, namespace string, ref metav1.OwnerReference) *view.Entry {
	for _, info := range resource.All() {
		if info.GVK != schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind) {
			continue
		}
		key := view.Key{Name: ref.Name}
		if info.Namespaced {
			key.Namespace = namespace
		}
		if e := v.Entry(info, key); e != nil && e.Object.GetUID() == ref.UID {
			return e
		}
	}
	return nil
}

// misremembered remembers that an owner is gone by its UID alone, although it was
// looked for by the kind and name of one reference.
func misremembered() sight {
	gone := map[types.UID]bool{}
	return func(v *view.View, key view.Key, _ *rand.Rand) *view.View {
		obj := collected(v, key)
		if obj == nil {
			return v
		}
		edit := v.Edit()
		for _, ref := range obj.GetOwnerReferences() {
			if e := owning(v, obj.GetNamespace(), ref); e == nil {
				gone[ref.UID] = true
			} else if gone[ref.UID] {
				edit.Delete(e.Info, e.Key)
			}
		}
		return edit.View(v.Revision())
	}
}

// onlyWitnessed does not see an object whose owner it has never seen: it waits for
// the owner's end.
func onlyWitnessed() sight {
	witnessed := map[types.UID]bool{}
	return func(v *view.View, key view.Key, _ *rand.Rand) *view.View {
		for _, info := range makers {
			for e := range v.Entries(info, "", view.Key{}) {
				witnessed[e.Object.GetUID()] = true
			}
		}
		obj := collected(v, key)
		if obj == nil {
			return v
		}
		for _, ref := range obj.GetOwnerReferences() {
			if owning(v, obj.GetNamespace(), ref) == nil && !witnessed[ref.UID] {
				return (&view.View{}).Edit().View(v.Revision())
			}
		}
		return v
	}
}

// losingFirst knows that an object waits for its dependents by the change that
// began this, which it may not have seen.
func losingFirst(c *controller.Controller) {
	before := map[types.UID]bool{} // was seen before it was deleted
	seeing(func(v *view.View, key view.Key, _ *rand.Rand) *view.View {
		for _, info := range makers {
			for e := range v.Entries(info, "", view.Key{}) {
				if e.Object.GetDeletionTimestamp() == nil {
					before[e.Object.GetUID()] = true
				}
			}
		}
		if obj := collected(v, key); obj != nil && inForeground(obj) && !before[obj.GetUID()] {
			return (&view.View{}).Edit().View(v.Revision())
		}
		return v
	})(c)
}

// lastTwo sees only the two latest ReplicaSets of a deployment.
func lastTwo(v *view.View, key view.Key, _ *rand.Rand) *view.View {
	d, ok := view.Get(v, resource.Deployments, key.Namespace, key.Name)
	if !ok {
		return v
	}
	owned := slices.SortedFunc(view.By(v, resource.ReplicaSets, resource.OwnerIndex, string(d.UID)), func(a, b *appsv1.ReplicaSet) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	edit := v.Edit()
	for _, rs := range owned[min(2, len(owned)):] {
		edit.Delete(resource.ReplicaSets.Info, view.KeyOf(rs))
	}
	return edit.View(v.Revision())
}

// observedFirst says that a change was observed, and then what it led to.
func observedFirst(c *controller.Controller) {
	good := c.Reconcile
	c.Reconcile = func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
		plan := good(v, key, now, rnd)
		old, ok := view.Get(v, resource.Deployments, key.Namespace, key.Name)
		if i := slices.IndexFunc(plan.Do, func(op client.Op) bool { return op.Subresource == "status" }); ok && i >= 0 {
			first, then := old.DeepCopy(), plan.Do[i].Object.(*appsv1.Deployment).DeepCopy()
			first.Status.ObservedGeneration, then.ResourceVersion = then.Status.ObservedGeneration, ""
			plan.Do[i].Object = then
			plan.Do = slices.Insert(plan.Do, i, client.UpdateStatus(resource.Deployments, first))
		}
		return plan
	}
}

// neverTerminating does not see that pods are being deleted.
func neverTerminating(v *view.View, key view.Key, _ *rand.Rand) *view.View {
	edit := v.Edit()
	for e := range v.Entries(resource.Pods.Info, key.Namespace, view.Key{}) {
		if e.Object.GetDeletionTimestamp() != nil {
			pod := e.Object.(*corev1.Pod).DeepCopy()
			pod.DeletionTimestamp = nil
			edit.Put(view.NewEntry(resource.Pods.Info, pod, e.Revision))
		}
	}
	return edit.View(v.Revision())
}

// noneDisrupted does not see what evictions a budget has granted.
func noneDisrupted(v *view.View, key view.Key, _ *rand.Rand) *view.View {
	b, ok := view.Get(v, resource.PodDisruptionBudgets, key.Namespace, key.Name)
	if !ok || len(b.Status.DisruptedPods) == 0 {
		return v
	}
	b = b.DeepCopy()
	b.Status.DisruptedPods = nil
	edit := v.Edit()
	edit.Put(view.NewEntry(resource.PodDisruptionBudgets.Info, b, v.Revision()))
	return edit.View(v.Revision())
}

// TestOvercommit finds a scheduler that does not look at what a node has promised
// already, and puts every pod onto the same one, by what the node has. That must
// end, although such a cluster cannot settle.
func TestOvercommit(t *testing.T) {
	for seed := range uint64(tries) {
		result, err := Run(seed, Options{Amend: func(_ string, op client.Op) client.Op {
			if binding, ok := op.Object.(*corev1.Binding); ok {
				binding = binding.DeepCopy()
				binding.Target.Name = nodeNames[0]
				op.Object = binding
			}
			return op
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range result.Violations {
			if strings.Contains(v, "is promised to") {
				t.Logf("seed %d: %s", seed, v)
				return
			}
		}
	}
	t.Errorf("the overcommitted node is not found in %d seeds", tries)
}

// TestMutants shows that the simulator finds mistakes, each within some seeds.
func TestMutants(t *testing.T) {
	text, err := os.ReadFile("testdata/stories.txt")
	if err != nil {
		t.Fatal(err)
	}
	stories := ParseStories(string(text))
	for _, m := range mutants() {
		t.Run(m.title, func(t *testing.T) {
			t.Parallel()
			at := slices.IndexFunc(stories, func(s Story) bool { return s.Name == m.story })
			if m.story != "" && at < 0 {
				t.Fatalf("there is no story %q", m.story)
			}
			for try := range uint64(tries) {
				var violations []string
				if at >= 0 {
					told, err := stories[at].Tell(try, Interruption{}, Options{Mutate: m.mutate})
					if err != nil {
						t.Fatal(err)
					}
					violations = told.Violations
				} else {
					result, err := Run(try, Options{Mutate: m.mutate})
					if err != nil {
						t.Fatal(err)
					}
					violations = result.Violations
				}
				for _, v := range violations {
					if strings.Contains(v, m.found) {
						t.Logf("%d: %s", try, v)
						return
					}
				}
				if len(violations) > 0 {
					t.Logf("%d, in another way: %s", try, violations[0])
				}
			}
			t.Errorf("kubernetes/kubernetes#%d is not found in %d tries", m.issue, tries)
		})
	}
}

func (m mutant) mutate(all []controller.Controller) []controller.Controller {
	for i := range all {
		if all[i].Name == m.in {
			m.with(&all[i])
			return all
		}
	}
	panic("there is no controller " + m.in)
}
