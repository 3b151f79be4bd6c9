package sim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// reconcile is what a controller decides with.
type reconcile = func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan

// mutant is a mistake that upstream once made, or is known for, seeded into one of
// our controllers.
type mutant struct {
	issue int    // of github.com/kubernetes/kubernetes: an issue or a pull request
	title string // what it is about
	in    string // controller
	with  func(good reconcile) reconcile
}

// tries is in how many seeds a mistake must be found.
const tries = 60

func mutants() []mutant {
	pods := func(op client.Op) bool { return op.Kind == resource.Pods.Info && op.Subresource == "" }
	return []mutant{
		{129795, "ReplicaSet controller may create extra Pods when expectations expire during informer delays", "replicaset", stale},
		{130103, "Job controller accidentally created two pods even if the Job asks for one", "job", stale},
		{105200, "Tracking with finalizers might count a Pod more than once", "job", changing(func(op client.Op, obj resource.Object) {
			if job, ok := obj.(*batchv1.Job); ok && op.Subresource == "status" && job.Status.Succeeded > 0 {
				job.Status.Succeeded++
			}
		})},
		{88097, "Garbage collector deleted wrong resources, whose owners were live and well", collector, blind},
		{109748, "GC doesn't delete already orphaned objects after startup", collector, dropping(func(client.Op) bool { return true })},
		{26120, "OrphanDependents does not orphan all dependents that the collector has not observed yet", collector, dropping(func(op client.Op) bool {
			return op.Verb == resource.Patch && op.Kind != resource.Deployments.Info && op.Kind != resource.StatefulSets.Info &&
				op.Kind != resource.DaemonSets.Info && op.Kind != resource.Jobs.Info
		})},
		{115570, "foreground cascading deletion is stuck when the collector lost the first event", collector, dropping(func(op client.Op) bool {
			return op.Verb == resource.Patch || op.Verb == resource.Update
		})},
		{42571, "Deployment not completely scaling down old RS", "deployment", dropping(func(op client.Op) bool {
			rs, ok := op.Object.(*appsv1.ReplicaSet)
			return ok && op.Verb != resource.Create && ptr.Deref(rs.Spec.Replicas, 1) == 0
		})},
		{22719, "deployment should support rollover [minUnavailable/maxSurge violated]", "deployment", changing(func(op client.Op, obj resource.Object) {
			if rs, ok := obj.(*appsv1.ReplicaSet); ok && op.Subresource == "" {
				rs.Spec.Replicas = ptr.To(ptr.Deref(rs.Spec.Replicas, 1) + 3)
			}
		})},
		{124264, "observedGeneration changes before the rest of the status does", "deployment", changing(func(op client.Op, obj resource.Object) {
			if d, ok := obj.(*appsv1.Deployment); ok && op.Subresource == "status" {
				d.Status.ObservedGeneration++
			}
		})},
		{89056, "EndpointSlice should not contain endpoints for terminating pods", "endpointslice", dropping(func(op client.Op) bool { return op.Verb != resource.Create })},
		{85353, "EndpointSliceController does not react to updated or deleted EndpointSlice objects", "endpointslice", dropping(func(op client.Op) bool { return op.Verb == resource.Create })},
		{82149, "PodDisruptionBudget can be violated by disruption controller", "disruption", changing(func(_ client.Op, obj resource.Object) {
			if b, ok := obj.(*policyv1.PodDisruptionBudget); ok {
				b.Status.DisruptionsAllowed++
			}
		})},
		{37554, "Namespace stuck on terminating on delete", "namespace", dropping(func(op client.Op) bool { return op.Subresource == "finalize" })},
		{23013, "DaemonSet doesn't run in all nodes", "daemon-set", dropping(func(op client.Op) bool {
			p, ok := op.Object.(*corev1.Pod)
			return ok && target(p) == nodeNames[1]
		})},
		{30629, "Controllers hotloop on unexpected API server rejections", "replicaset", restless},
		{138818, "ReplicaSet controller deletes pods that have been orphaned", "replicaset", changing(func(op client.Op, obj resource.Object) {
			if pods(op) && op.Verb == resource.Create {
				obj.SetOwnerReferences(nil)
			}
		})},
	}
}

// dropping leaves out some operations of each plan.
func dropping(drop func(op client.Op) bool) func(reconcile) reconcile {
	return func(good reconcile) reconcile {
		return func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
			plan := good(v, key, now, rnd)
			plan.Do, plan.Events = slices.DeleteFunc(slices.Clone(plan.Do), drop), nil
			return plan
		}
	}
}

// changing changes the objects that a plan writes.
func changing(change func(op client.Op, obj resource.Object)) func(reconcile) reconcile {
	return func(good reconcile) reconcile {
		return func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
			plan := good(v, key, now, rnd)
			for i, op := range plan.Do {
				if op.Object != nil {
					obj := op.Object.DeepCopyObject().(resource.Object)
					change(op, obj)
					plan.Do[i].Object = obj
				}
			}
			return plan
		}
	}
}

// stale decides by the view before the present one.
func stale(good reconcile) reconcile {
	before := map[view.Key]*view.View{}
	return func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
		old := before[key]
		before[key] = v
		if old == nil {
			old = v
		}
		return good(old, key, now, rnd)
	}
}

// blind does not see every deployment every time.
func blind(good reconcile) reconcile {
	return func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
		edit := v.Edit()
		for d := range view.List(v, resource.Deployments, "") {
			if rnd.IntN(10) == 0 {
				edit.Delete(resource.Deployments.Info, view.KeyOf(d))
			}
		}
		return good(edit.View(v.Revision()), key, now, rnd)
	}
}

// restless writes a status that always differs.
func restless(good reconcile) reconcile {
	return func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
		plan := good(v, key, now, rnd)
		if rs, ok := view.Get(v, resource.ReplicaSets, key.Namespace, key.Name); ok && len(plan.Do) == 0 {
			next := rs.DeepCopy()
			next.Status.Conditions = []appsv1.ReplicaSetCondition{{
				Type: "Restless", Status: corev1.ConditionTrue, Message: key.Name + now.String(),
			}}
			plan.Do = append(plan.Do, client.UpdateStatus(resource.ReplicaSets, next))
			plan.Again = 10 * time.Second
		}
		return plan
	}
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
	issues := map[int]bool{}
	for _, m := range mutants() {
		issues[m.issue] = true
		t.Run(m.title, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(tries) {
				there := false
				result, err := Run(seed, Options{Mutate: func(all []controller.Controller) []controller.Controller {
					for i := range all {
						if all[i].Name == m.in {
							there = true
							all[i].Reconcile = m.with(all[i].Reconcile)
						}
					}
					return all
				}})
				if err != nil || !there {
					t.Fatalf("controller %s there: %v; %v", m.in, there, err)
				}
				if len(result.Violations) > 0 {
					t.Logf("seed %d: %s", seed, result.Violations[0])
					return
				}
			}
			t.Errorf("kubernetes/kubernetes#%d is not found in %d seeds", m.issue, tries)
		})
	}
	if len(issues) < 15 {
		t.Errorf("%d kinds of mistakes, want 15", len(slices.Collect(maps.Keys(issues))))
	}
}
