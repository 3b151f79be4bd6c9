package controllertest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/client/clienttest"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Start is when every world begins.
var Start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// World is a cluster in memory with controllers at work on virtual time.
type World struct {
	*clienttest.Client
	Clock *clocktesting.FakeClock

	t     *testing.T
	step  *controller.Stepper
	trace strings.Builder
}

// NewWorld returns an empty cluster.
func NewWorld(t *testing.T, controllers ...controller.Controller) *World {
	t.Helper()
	w := &World{Client: clienttest.New(), Clock: clocktesting.NewFakeClock(Start), t: t}
	w.Now = w.Clock.Now
	step, err := controller.NewStepper(tracer{w}, controllers, controller.Deps{
		Clock: w.Clock, Seed: 1,
		Notes: func(_ controller.Controller, n event.Note) {
			class := "Normal"
			if n.Warning {
				class = "Warning"
			}
			fmt.Fprintf(&w.trace, "event %s %s %s %s: %s\n", n.Kind.GVR.Resource, n.About.GetName(), class, n.Reason, n.Message)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(step.Close)
	w.step = step
	return w
}

// tracer notes every operation and what it changed.
type tracer struct{ w *World }

func (c tracer) Cache() *watchcache.Cache { return c.w.Cache() }

func (c tracer) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	var before resource.Object
	if e := c.w.View().Entry(op.Kind, view.Key{Namespace: op.Namespace, Name: op.Name}); e != nil {
		before = e.Object
	}
	obj, err := c.w.Client.Do(ctx, op)
	switch {
	case err != nil:
		fmt.Fprintf(&c.w.trace, "%s: %v\n", op, err)
	case before != nil && (op.Verb == resource.Update || op.Verb == resource.Patch):
		fmt.Fprintf(&c.w.trace, "%s %s\n", op, difference(before, obj))
	default:
		fmt.Fprintf(&c.w.trace, "%s\n", op)
	}
	return obj, err
}

// difference is the merge patch from one state to another.
func difference(before, after resource.Object) string {
	before, after = before.DeepCopyObject().(resource.Object), after.DeepCopyObject().(resource.Object)
	for _, o := range []resource.Object{before, after} {
		o.SetResourceVersion("")
		o.SetGeneration(0)
	}
	a, _ := json.Marshal(before)
	b, _ := json.Marshal(after)
	patch, err := jsonpatch.CreateMergePatch(a, b)
	if err != nil {
		return err.Error()
	}
	return string(patch)
}

// Settle runs the controllers until nothing is left to do, and returns what
// they did, one line each.
func (w *World) Settle() string {
	for range 10000 {
		more, err := w.step.Step(context.Background())
		if err != nil {
			fmt.Fprintf(&w.trace, "error: %s\n", strings.SplitN(err.Error(), "\n", 2)[0])
		}
		if !more {
			out := w.trace.String()
			w.trace.Reset()
			return out
		}
	}
	w.t.Fatalf("controllers do not settle:\n%.4000s", w.trace.String())
	return ""
}

// Advance lets time pass, stopping wherever a controller wants to be called.
func (w *World) Advance(d time.Duration) string {
	end := w.Clock.Now().Add(d)
	var out strings.Builder
	out.WriteString(w.Settle())
	for {
		next, ok := w.step.Next()
		if !ok || next.After(end) {
			break
		}
		w.Clock.SetTime(next)
		if did := w.Settle(); did != "" {
			fmt.Fprintf(&out, "at %s\n%s", next.Sub(Start), did)
		}
	}
	w.Clock.SetTime(end)
	out.WriteString(w.Settle())
	return out.String()
}

// Apply stores the YAML documents, status and all.
func (w *World) Apply(docs string) {
	w.t.Helper()
	for _, doc := range strings.Split("\n"+docs, "\n---") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			w.t.Fatalf("apply: %v\n%s", err, doc)
		}
		i := slices.IndexFunc(resource.All(), func(i *resource.Info) bool {
			return i.GVK.GroupVersion().String() == meta.APIVersion && i.GVK.Kind == meta.Kind
		})
		if i < 0 {
			w.t.Fatalf("apply: kind %s %s is not known", meta.APIVersion, meta.Kind)
		}
		info := resource.All()[i]
		obj := info.New()
		if err := yaml.UnmarshalStrict([]byte(doc), obj); err != nil {
			w.t.Fatalf("apply: %v\n%s", err, doc)
		}
		obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
		if info.Namespaced && obj.GetNamespace() == "" {
			obj.SetNamespace("default")
		}
		w.keep(info, obj, strings.Contains(doc, "\nstatus:"))
		w.Put(info, obj)
	}
}

// keep takes over from the stored object what a user's update leaves: the
// annotations, and the status unless the document has one.
func (w *World) keep(info *resource.Info, obj resource.Object, hasStatus bool) {
	e := w.View().Entry(info, view.KeyOf(obj))
	if e == nil {
		return
	}
	if obj.GetAnnotations() == nil {
		obj.SetAnnotations(maps.Clone(e.Object.GetAnnotations()))
	}
	if !hasStatus && info.CopyStatus != nil {
		info.CopyStatus(obj, e.Object.DeepCopyObject().(resource.Object))
	}
}

// Kubelet acts as every node: pods are bound and become ready, those being
// deleted are gone.
func (w *World) Kubelet() {
	for _, pod := range slices.Collect(view.List(w.View(), resource.Pods, "")) {
		if pod.DeletionTimestamp != nil || pod.Status.Phase == "" || pod.Status.Phase == corev1.PodPending {
			w.Serve(pod)
		}
	}
}

// Exit acts as the node of a pod whose container ends.
func (w *World) Exit(pod *corev1.Pod, code int32) {
	next := pod.DeepCopy()
	now := metav1.NewTime(w.Clock.Now())
	next.Spec.NodeName = cmp.Or(next.Spec.NodeName, "node-1")
	next.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		next.Status.Phase = corev1.PodFailed
	}
	next.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: now}}
	next.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  next.Spec.Containers[0].Name,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: now}},
	}}
	w.Put(resource.Pods.Info, next)
}

// Fail acts as every node: pods fail that are not over.
func (w *World) Fail() {
	for _, pod := range slices.Collect(view.List(w.View(), resource.Pods, "")) {
		if resource.PodActive(pod) {
			next := pod.DeepCopy()
			next.Spec.NodeName = cmp.Or(next.Spec.NodeName, named(&next.Spec), "node-1")
			next.Status = corev1.PodStatus{Phase: corev1.PodFailed}
			w.Put(resource.Pods.Info, next)
		}
	}
}

// Serve acts as the node of one pod: it runs and is ready, or is killed and gone
// unless a finalizer holds it.
func (w *World) Serve(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil && len(pod.Finalizers) > 0 {
		w.Exit(pod, 137)
		return
	}
	if pod.DeletionTimestamp != nil {
		w.Remove(resource.Pods.Info, view.KeyOf(pod))
		return
	}
	next := pod.DeepCopy()
	next.Spec.NodeName = cmp.Or(next.Spec.NodeName, named(&next.Spec), "node-1")
	now := metav1.NewTime(w.Clock.Now())
	next.Status.Phase = corev1.PodRunning
	next.Status.PodIP = fmt.Sprintf("10.0.0.%d", w.View().Revision())
	next.Status.PodIPs = []corev1.PodIP{{IP: next.Status.PodIP}}
	next.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}}
	w.Put(resource.Pods.Info, next)
}

// named is the node that a pod's affinity names, as those of DaemonSets do.
func named(spec *corev1.PodSpec) string {
	a := spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			return f.Values[0]
		}
	}
	return ""
}
