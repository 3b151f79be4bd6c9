package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// reconcile is what a controller decides with.
type reconcile = func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan

// mutant is a mistake in one controller.
type mutant struct {
	name, in string
	with     func(good reconcile) reconcile
	write    func(by string, op client.Op) client.Op // in place of with, of any component
}

// dropping leaves out some operations of each plan.
func dropping(drop func(op client.Op) bool) func(reconcile) reconcile {
	return func(good reconcile) reconcile {
		return func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) controller.Plan {
			plan := good(v, key, now, rnd)
			var kept []client.Op
			for _, op := range plan.Do {
				if !drop(op) {
					kept = append(kept, op)
				}
			}
			plan.Do, plan.Events = kept, nil
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

// stale decides by the view before the present one, as after a lost expectation.
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

func mutants() []mutant {
	deletes := func(op client.Op) bool { return op.Verb == resource.Delete }
	pods := func(op client.Op) bool { return op.Kind == resource.Pods.Info && op.Subresource == "" }
	return []mutant{
		{name: "pods are made twice on a stale read", in: "replicaset", with: stale},
		{name: "surplus pods stay", in: "replicaset", with: dropping(func(op client.Op) bool { return pods(op) && deletes(op) })},
		{name: "missing pods are not made", in: "replicaset", with: dropping(func(op client.Op) bool { return pods(op) && op.Verb == resource.Create })},
		{name: "status is never written", in: "replicaset", with: dropping(func(op client.Op) bool { return op.Subresource == "status" })},
		{name: "children of the dead stay", in: "generic-garbage-collector", with: dropping(func(client.Op) bool { return true })},
		{name: "a rollout is stuck", in: "deployment", with: dropping(func(op client.Op) bool {
			rs, ok := op.Object.(*appsv1.ReplicaSet)
			return ok && op.Verb != resource.Create && ptr.Deref(rs.Spec.Replicas, 1) == 0
		})},
		{name: "a rollout makes too many", in: "deployment", with: changing(func(op client.Op, obj resource.Object) {
			if rs, ok := obj.(*appsv1.ReplicaSet); ok && op.Subresource == "" {
				rs.Spec.Replicas = ptr.To(ptr.Deref(rs.Spec.Replicas, 1) + 3)
			}
		})},
		{name: "observed before it was", in: "deployment", with: changing(func(op client.Op, obj resource.Object) {
			if d, ok := obj.(*appsv1.Deployment); ok && op.Subresource == "status" {
				d.Status.ObservedGeneration++
			}
		})},
		{name: "endpoints of dead pods stay", in: "endpointslice", with: dropping(func(op client.Op) bool { return op.Verb != resource.Create })},
		{name: "endpoints are never made", in: "endpointslice", with: dropping(func(op client.Op) bool { return op.Verb == resource.Create })},
		{name: "a healthy node keeps its taints", in: "node", with: dropping(func(op client.Op) bool {
			n, ok := op.Object.(*corev1.Node)
			return ok && len(n.Spec.Taints) == 0 || op.Kind == resource.Nodes.Info && op.Subresource == ""
		})},
		{name: "pods have no owner", in: "replicaset", with: changing(func(op client.Op, obj resource.Object) {
			if pods(op) && op.Verb == resource.Create {
				obj.SetOwnerReferences(nil)
			}
		})},
		{name: "children of the living are deleted", in: "generic-garbage-collector", with: blind},
		{name: "a controller never stops writing", in: "replicaset", with: restless},
		{name: "a node is promised to too many", write: first},
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

// first binds every pod to the first node.
func first(_ string, op client.Op) client.Op {
	if b, ok := op.Object.(*corev1.Binding); ok {
		b = b.DeepCopy()
		b.Target.Name = "node-1"
		op.Object = b
	}
	return op
}

// TestMutants shows that the simulator finds mistakes, each within a few seeds.
func TestMutants(t *testing.T) {
	const most = 10
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			for seed := range uint64(most) {
				there := m.in == ""
				result, err := Run(seed, Options{Change: m.write, Mutate: func(all []controller.Controller) []controller.Controller {
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
			t.Errorf("not found in %d seeds", most)
		})
	}
}
