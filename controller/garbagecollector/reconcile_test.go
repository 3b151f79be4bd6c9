package garbagecollector

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

// letters name kinds in worlds.
var letters = map[string]*resource.Info{
	"ns": resource.Namespaces.Info, "node": resource.Nodes.Info, "deploy": resource.Deployments.Info,
	"rs": resource.ReplicaSets.Info, "pod": resource.Pods.Info, "cm": resource.ConfigMaps.Info,
}

func kinds() []*resource.Info {
	var out []*resource.Info
	for _, name := range []string{"ns", "node", "deploy", "rs", "pod", "cm"} {
		out = append(out, letters[name])
	}
	return append(out, resource.Events.Info)
}

// parse reads an object: "pod shop/p uid=1 owner=rs/r:2! deleted foreground
// orphan finalizer=x". "!" blocks the owner's deletion.
func parse(t *testing.T, line string) (*resource.Info, resource.Object) {
	words := strings.Fields(line)
	kind := letters[words[0]]
	obj := kind.New()
	namespace, name, found := strings.Cut(words[1], "/")
	if !found {
		namespace, name = "", words[1]
	}
	obj.SetNamespace(namespace)
	obj.SetName(name)
	for _, word := range words[2:] {
		option, value, _ := strings.Cut(word, "=")
		switch option {
		case "uid":
			obj.SetUID(types.UID(value))
		case "owner":
			obj.SetOwnerReferences(append(obj.GetOwnerReferences(), reference(value)))
		case "deleted":
			obj.SetDeletionTimestamp(&metav1.Time{Time: now})
		case "foreground":
			obj.SetFinalizers(append(obj.GetFinalizers(), metav1.FinalizerDeleteDependents))
		case "orphan":
			obj.SetFinalizers(append(obj.GetFinalizers(), metav1.FinalizerOrphanDependents))
		case "finalizer":
			obj.SetFinalizers(append(obj.GetFinalizers(), value))
		default:
			t.Fatalf("%s: unknown word %q", line, word)
		}
	}
	return kind, obj
}

func reference(s string) metav1.OwnerReference {
	s, block := strings.CutSuffix(s, "!")
	path, uid, _ := strings.Cut(s, ":")
	kind, name, _ := strings.Cut(path, "/")
	ref := metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Widget", Name: name, UID: types.UID(uid)}
	if info := letters[kind]; info != nil {
		ref.APIVersion, ref.Kind = info.GVK.GroupVersion().String(), info.GVK.Kind
	}
	if block {
		ref.BlockOwnerDeletion = &block
	}
	return ref
}

func world(t *testing.T, text string) *view.View {
	edit := (&view.View{}).Edit()
	edit.Put(view.NewEntry(resource.Namespaces.Info, namespaceNamed("shop"), 1))
	edit.Put(view.NewEntry(resource.Namespaces.Info, namespaceNamed("other"), 2))
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			kind, obj := parse(t, line)
			edit.Put(view.NewEntry(kind, obj, int64(10+i)))
		}
	}
	return edit.View(100)
}

func namespaceNamed(name string) resource.Object {
	ns := resource.Namespaces.Info.New()
	ns.SetName(name)
	return ns
}

// describe writes an operation as a line.
func describe(op client.Op) string {
	switch op.Verb {
	case resource.Delete:
		return fmt.Sprintf("%s %s", op, *op.Delete.PropagationPolicy)
	default:
		var p struct{ Metadata map[string]any }
		if err := json.Unmarshal(op.Patch, &p); err != nil {
			panic(err)
		}
		out := op.String()
		if refs, ok := p.Metadata["ownerReferences"].([]any); ok {
			out += " owners"
			for _, ref := range refs {
				out += fmt.Sprint(" ", ref.(map[string]any)["name"])
				if ref.(map[string]any)["blockOwnerDeletion"] == true {
					out += "!"
				}
			}
		} else {
			out += fmt.Sprint(" finalizers ", p.Metadata["finalizers"])
		}
		return out
	}
}

// plans asks about every object, in the order of kinds.
func plans(v *view.View) (ops []client.Op, events []controller.Note) {
	c := Controller(kinds())
	for _, in := range c.Reads {
		for e := range v.Entries(in.Kind, "", view.Key{}) {
			plan := c.Reconcile(v, keyOf(in.Kind, e.Key), now, nil)
			ops, events = append(ops, plan.Do...), append(events, plan.Events...)
		}
	}
	return ops, events
}

func TestPlan(t *testing.T) {
	for _, test := range []struct{ name, world, want string }{
		{"owner present", `
			rs shop/r uid=1
			pod shop/p owner=rs/r:1`, ""},
		{"owner gone", `pod shop/p owner=rs/r:1`, "delete pods shop/p Background"},
		{"owner made anew", `
			rs shop/r uid=2
			pod shop/p owner=rs/r:1`, "delete pods shop/p Background"},
		{"cluster-scoped owner", `
			node n uid=1
			pod shop/p owner=node/n:1`, ""},
		{"cluster-scoped owner gone", `pod shop/p owner=node/n:1`, "delete pods shop/p Background"},
		{"owner of a kind not served", `pod shop/p owner=widget/w:1`, ""},
		{"some owners gone", `
			rs shop/r uid=1
			pod shop/p owner=rs/gone:9 owner=rs/r:1 owner=widget/w:2`, "patch pods shop/p owners r w"},
		{"already being deleted", `pod shop/p deleted owner=rs/r:1`, ""},
		{"owner being deleted by background waits for its finalizers", `
			rs shop/r uid=1 deleted finalizer=x
			pod shop/p owner=rs/r:1`, ""},
		{"finalizers ask for orphaning", `pod shop/p owner=rs/r:1 orphan`, "delete pods shop/p Orphan"},
		{"finalizers ask for foreground", `pod shop/p owner=rs/r:1 foreground`, "delete pods shop/p Foreground"},

		{"foreground: middle before leaf", `
			deploy shop/d uid=1 deleted foreground
			rs shop/r uid=2 owner=deploy/d:1!
			pod shop/p uid=3 owner=rs/r:2!`, "delete replicasets shop/r Foreground"},
		{"foreground: leaf", `
			deploy shop/d uid=1 deleted foreground
			rs shop/r uid=2 owner=deploy/d:1! deleted foreground
			pod shop/p uid=3 owner=rs/r:2!`, "delete pods shop/p Background"},
		{"foreground: waits for a stopping pod", `
			rs shop/r uid=2 deleted foreground
			pod shop/p uid=3 owner=rs/r:2! deleted`, ""},
		{"foreground: done", `rs shop/r uid=2 deleted foreground finalizer=x`, "patch replicasets shop/r finalizers [x]"},
		{"foreground: dependents that do not block", `
			rs shop/r uid=2 deleted foreground
			pod shop/p uid=3 owner=rs/r:2`, "patch replicasets shop/r finalizers []\ndelete pods shop/p Background"},
		{"foreground: another owner stays", `
			rs shop/r uid=2 deleted foreground
			rs shop/s uid=4
			pod shop/p uid=3 owner=rs/r:2! owner=rs/s:4`, "patch pods shop/p owners s"},
		{"foreground: a cycle", `
			cm shop/a uid=1 owner=cm/b:2! deleted foreground
			cm shop/b uid=2 owner=cm/a:1!`, "patch configmaps shop/b owners a"},
		{"foreground: a cycle, unblocked", `
			cm shop/a uid=1 owner=cm/b:2! deleted foreground
			cm shop/b uid=2 owner=cm/a:1`, "patch configmaps shop/a finalizers []\ndelete configmaps shop/b Foreground"},

		{"orphan: references go", `
			rs shop/r uid=1 deleted orphan
			pod shop/p owner=rs/r:1!
			pod shop/q owner=rs/r:1 deleted`, "patch pods shop/p owners\npatch pods shop/q owners"},
		{"orphan: kept although another owner is gone", `
			rs shop/r uid=1 deleted orphan
			pod shop/p owner=rs/r:1 owner=rs/gone:9`, "patch pods shop/p owners"},
		{"orphan: done", `
			rs shop/r uid=1 deleted orphan
			pod shop/p`, "patch replicasets shop/r finalizers []"},

		{"owner in another namespace", `
			rs other/r uid=1
			pod shop/p owner=rs/r:1`, `Warning OwnerRefInvalidNamespace p: ownerRef [apps/v1/ReplicaSet, namespace: shop, name: r, uid: 1] does not exist in namespace "shop"`},
		{"namespaced owner of a cluster-scoped object", `
			node n owner=rs/r:1`, `Warning OwnerRefInvalidNamespace n: ownerRef [apps/v1/ReplicaSet, namespace: , name: r, uid: 1] does not exist in namespace ""`},
		{"dependents elsewhere do not hold an owner", `
			rs other/r uid=1 deleted foreground
			pod shop/p owner=rs/r:1!`, "patch replicasets other/r finalizers []\n" +
			`Warning OwnerRefInvalidNamespace p: ownerRef [apps/v1/ReplicaSet, namespace: shop, name: r, uid: 1] does not exist in namespace "shop"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			ops, events := plans(world(t, test.world))
			var lines []string
			for _, op := range ops {
				lines = append(lines, describe(op))
			}
			for _, n := range events {
				lines = append(lines, fmt.Sprintf("Warning %s %s: %s", n.Reason, n.About.GetName(), n.Message))
			}
			if got := strings.Join(lines, "\n"); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestWritesOnlyThisState(t *testing.T) {
	ops, _ := plans(world(t, "pod shop/p uid=7 owner=rs/r:1\nrs shop/x uid=8 deleted orphan"))
	if !strings.Contains(string(ops[0].Patch), `"resourceVersion":"11","uid":"8"`) {
		t.Errorf("patch %s does not name the state it is for", ops[0].Patch)
	}
	if p := ops[1].Delete.Preconditions; *p.UID != "7" || *p.ResourceVersion != "10" {
		t.Errorf("delete has preconditions %v", p)
	}
}

// apply carries out one operation as the server would, and returns the view
// after it.
func apply(t *testing.T, v *view.View, op client.Op) *view.View {
	key := view.Key{Namespace: op.Namespace, Name: op.Name}
	e := v.Entry(op.Kind, key)
	if e == nil {
		return v
	}
	obj := e.Object.DeepCopyObject().(resource.Object)
	if op.Verb == resource.Delete {
		obj.SetDeletionTimestamp(&metav1.Time{Time: now})
		if *op.Delete.PropagationPolicy == metav1.DeletePropagationForeground {
			obj.SetFinalizers(append(obj.GetFinalizers(), metav1.FinalizerDeleteDependents))
		}
	} else {
		doc, err := json.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		if doc, err = jsonpatch.MergePatch(doc, op.Patch); err != nil {
			t.Fatal(err)
		}
		obj = op.Kind.New()
		if err := json.Unmarshal(doc, obj); err != nil {
			t.Fatal(err)
		}
	}
	edit, revision := v.Edit(), v.Revision()+1
	if obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 {
		edit.Delete(op.Kind, key)
	} else {
		edit.Put(view.NewEntry(op.Kind, obj, revision))
	}
	return edit.View(revision)
}

// woken returns what a change of one object wakes, as the runner works it out.
func woken(v *view.View, c controller.Controller, kind *resource.Info, states ...*view.Entry) []view.Key {
	var out []view.Key
	for _, e := range states {
		for _, in := range c.Reads {
			if e != nil && in.Kind == kind {
				out = append(out, in.Keys(v, e.Object)...)
			}
		}
	}
	return out
}

// TestSettles starts from one wake-up and follows only what changes wake, so a
// wake-up that is missing leaves something behind.
func TestSettles(t *testing.T) {
	const tree = `
		rs shop/r uid=2 owner=deploy/d:1!
		pod shop/p uid=3 owner=rs/r:2!
		pod shop/q uid=4 owner=rs/r:2!
		cm shop/c uid=5 owner=pod/p:3`
	for _, test := range []struct{ name, deploy, want string }{
		{"background", "", ""},
		{"foreground", "deploy shop/d uid=1 deleted foreground", ""},
		{"orphan", "deploy shop/d uid=1 deleted orphan", "replicasets.apps shop/r; pods shop/p; pods shop/q; configmaps shop/c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, c := world(t, tree+"\n"+test.deploy), Controller(kinds())
			var queue []view.Key
			add := func(keys []view.Key) {
				for _, key := range keys {
					if !slices.Contains(queue, key) {
						queue = append(queue, key)
					}
				}
			}
			_, was := parse(t, "deploy shop/d uid=1")
			add(woken(v, c, letters["deploy"], view.NewEntry(letters["deploy"], was, 1)))
			for steps := 0; len(queue) > 0; steps++ {
				if steps > 200 {
					t.Fatal("does not settle")
				}
				next := queue[0]
				queue = queue[1:]
				for _, op := range c.Reconcile(v, next, now, nil).Do {
					key := view.Key{Namespace: op.Namespace, Name: op.Name}
					old := v.Entry(op.Kind, key)
					v = apply(t, v, op)
					add(woken(v, c, op.Kind, old, v.Entry(op.Kind, key)))
				}
			}
			var left []string
			for _, kind := range kinds()[2:] {
				for e := range v.Entries(kind, "", view.Key{}) {
					left = append(left, kind.GR().String()+" "+e.Key.String())
				}
			}
			if got := strings.Join(left, "; "); got != test.want {
				t.Errorf("left: %q, want %q", got, test.want)
			}
		})
	}
}
