package namespace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

var (
	now   = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	kinds = []*resource.Info{
		resource.Namespaces.Info, resource.Nodes.Info, resource.ConfigMaps.Info, resource.Pods.Info, resource.Secrets.Info,
	}
)

// object is a line of a test's world: something in namespace shop.
type object struct {
	kind       *resource.Info
	name       string
	deleted    bool
	finalizers []string
}

func (o object) entry(namespace string) *view.Entry {
	obj := o.kind.New()
	obj.SetName(o.name)
	obj.SetNamespace(namespace)
	obj.SetUID(types.UID("uid-" + o.name))
	obj.SetFinalizers(o.finalizers)
	if o.deleted {
		obj.SetDeletionTimestamp(&metav1.Time{Time: now})
	}
	return view.NewEntry(o.kind, obj, 7)
}

func shop(change func(*corev1.Namespace)) *corev1.Namespace {
	ns := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", DeletionTimestamp: &metav1.Time{Time: now}},
		Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"example.com/keep", corev1.FinalizerKubernetes}},
	}
	if change != nil {
		change(ns)
	}
	return ns
}

func world(ns *corev1.Namespace, objects ...object) *view.View {
	edit := (&view.View{}).Edit()
	edit.Put(view.NewEntry(resource.Namespaces.Info, ns, 3))
	for _, o := range objects {
		edit.Put(o.entry("shop"))
	}
	edit.Put(object{kind: resource.Pods.Info, name: "stranger"}.entry("other"))
	edit.Put(object{kind: resource.Nodes.Info, name: "shop"}.entry(""))
	return edit.View(9)
}

// text writes a plan as one line per operation.
func text(plan controller.Plan) string {
	var lines []string
	for _, op := range plan.Do {
		line := op.String()
		if op.Verb == resource.Delete {
			line += " uid " + string(*op.Delete.Preconditions.UID)
		}
		if ns, ok := op.Object.(*corev1.Namespace); ok && op.Subresource == "finalize" {
			line += fmt.Sprint(" ", ns.Spec.Finalizers)
		} else if ok {
			for _, c := range ns.Status.Conditions {
				if c.Status == corev1.ConditionTrue {
					line += "; " + c.Message
				}
			}
		}
		lines = append(lines, line)
	}
	if plan.Again > 0 {
		lines = append(lines, "again "+plan.Again.String())
	}
	return strings.Join(lines, "\n")
}

func TestPlan(t *testing.T) {
	pod := object{kind: resource.Pods.Info, name: "web"}
	stopping := object{kind: resource.Pods.Info, name: "web", deleted: true}
	held := object{kind: resource.Pods.Info, name: "db", deleted: true, finalizers: []string{"example.com/backup"}}
	config := object{kind: resource.ConfigMaps.Info, name: "conf"}
	secret := object{kind: resource.Secrets.Info, name: "key"}
	told := func(age time.Duration, objects ...object) func(*corev1.Namespace) {
		return func(ns *corev1.Namespace) {
			next, _ := conditions(ns, count(world(ns, objects...), emptied(kinds), "shop"), now.Add(-age))
			ns.Status = next.Status
		}
	}
	for _, test := range []struct {
		name    string
		ns      *corev1.Namespace
		objects []object
		want    string
	}{
		{"active", shop(func(ns *corev1.Namespace) { ns.DeletionTimestamp = nil }), []object{pod}, ""},
		{"pods go first", shop(nil), []object{config, pod, secret}, "delete pods shop/web uid uid-web"},
		{"others wait for stopping pods", shop(nil), []object{config, stopping},
			"update namespaces/status shop; Some resources are remaining: pods. has 1 resource instances"},
		{"then all else", shop(nil), []object{config, secret},
			"delete configmaps shop/conf uid uid-conf\ndelete secrets shop/key uid uid-key"},
		{"finalizers are told", shop(nil), []object{held, stopping},
			"update namespaces/status shop; Some resources are remaining: pods. has 2 resource instances; " +
				"Some content in the namespace has finalizers remaining: example.com/backup in 1 resource instances"},
		{"nothing new to tell", shop(told(0, held)), []object{held}, ""},
		{"a new count waits", shop(told(500*time.Millisecond, held, stopping)), []object{held}, "again 1.5s"},
		{"a new count is told in time", shop(told(3*time.Second, held, stopping)), []object{held},
			"update namespaces/status shop; Some resources are remaining: pods. has 1 resource instances; " +
				"Some content in the namespace has finalizers remaining: example.com/backup in 1 resource instances"},
		{"empty after telling", shop(told(0, held)), nil, "update namespaces/status shop"},
		{"empty", shop(nil), nil, "update namespaces/finalize shop [example.com/keep]"},
		{"left to others", shop(func(ns *corev1.Namespace) { ns.Spec.Finalizers = ns.Spec.Finalizers[:1] }), nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := Controller(kinds).Reconcile(world(test.ns, test.objects...), view.Key{Name: "shop"}, now, nil)
			if got := text(plan); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestPlansAreBounded(t *testing.T) {
	var pods []object
	for i := range maxDeletes + 100 {
		pods = append(pods, object{kind: resource.Pods.Info, name: fmt.Sprint("p", i)})
	}
	plan := Controller(kinds).Reconcile(world(shop(nil), pods...), view.Key{Name: "shop"}, now, nil)
	if len(plan.Do) != maxDeletes {
		t.Errorf("%d operations, want %d", len(plan.Do), maxDeletes)
	}
}

func TestOnlyTerminatingNamespacesWake(t *testing.T) {
	c := Controller(kinds)
	if len(c.Reads) != 3 {
		t.Fatalf("%d kinds read, want the 3 namespaced ones", len(c.Reads))
	}
	pod := object{kind: resource.Pods.Info, name: "web"}.entry("shop").Object
	active := shop(func(ns *corev1.Namespace) { ns.DeletionTimestamp = nil })
	if keys := c.Reads[0].Keys(world(active), pod); len(keys) != 0 {
		t.Errorf("a pod of an active namespace wakes %v", keys)
	}
	if keys := c.Reads[0].Keys(world(shop(nil)), pod); len(keys) != 1 || keys[0].Name != "shop" {
		t.Errorf("a pod of a terminating namespace wakes %v, want shop", keys)
	}
}
