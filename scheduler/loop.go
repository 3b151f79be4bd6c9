package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// loop is the state of Run. All of it belongs to Run's goroutine.
type loop struct {
	client client.Client
	deps   Deps
	ctx    context.Context

	core  *Core
	snap  *snapshot.Snapshot
	queue *Queue
	rnd   *rand.Rand

	running int
	backlog []task
	results chan result
}

// touched are the nodes that something happened to.
type touched map[string]snapshot.Event

func (t touched) add(node string, event snapshot.Event) {
	if event != 0 {
		t[node] |= event
	}
}

// reset makes snapshot and queue those of v. Pods being bound stay assumed.
func (l *loop) reset(v *view.View) {
	now := l.deps.Now()
	old := l.snap
	l.snap = snapshot.New()
	for n := range view.List(v, resource.Nodes, "") {
		l.snap.SetNode(n)
	}
	for ns := range view.List(v, resource.Namespaces, "") {
		l.snap.SetNamespace(ns.Name, ns.Labels)
	}
	for it := range l.queue.All() {
		pod, ok := view.Get(v, resource.Pods, it.Pod.Key.Namespace, it.Pod.Key.Name)
		switch {
		case !ok || pod.UID != it.UID():
			l.queue.Remove(it.Pod.Key)
		case it.state == inFlight && old.Assumed(it.Pod.Key, it.UID()):
			l.snap.Assume(it.Pod, it.node)
		}
	}
	none := touched{}
	for pod := range view.List(v, resource.Pods, "") {
		l.observe(nil, pod, none, now)
	}
	l.queue.Wake(^snapshot.Event(0), now, nil)
}

// apply takes over changes of nodes, pods and namespaces.
func (l *loop) apply(changes []watchcache.Change) {
	now := l.deps.Now()
	nodes := touched{}
	for _, c := range changes {
		var old, obj resource.Object
		if c.Old != nil {
			old = c.Old.Object
		}
		if c.New != nil {
			obj = c.New.Object
		}
		switch c.Entry().Object.(type) {
		case *corev1.Namespace:
			if obj == nil {
				l.snap.RemoveNamespace(old.GetName())
				continue
			}
			l.snap.SetNamespace(obj.GetName(), obj.GetLabels())
		case *corev1.Node:
			if obj == nil {
				l.snap.RemoveNode(old.GetName())
				continue
			}
			nodes.add(obj.GetName(), l.snap.SetNode(obj.(*corev1.Node)))
		case *corev1.Pod:
			before, _ := old.(*corev1.Pod)
			if obj == nil {
				l.forget(view.KeyOf(old), nodes)
				continue
			}
			l.observe(before, obj.(*corev1.Pod), nodes, now)
		}
	}
	l.wake(nodes, now)
}

// observe takes over the state of a pod that is there.
func (l *loop) observe(old, pod *corev1.Pod, nodes touched, now time.Time) {
	key := view.KeyOf(pod)
	switch {
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		l.forget(key, nodes)
	case pod.Spec.NodeName != "":
		l.queue.Remove(key)
		nodes.add(pod.Spec.NodeName, l.snap.SetPod(pod))
	case pod.DeletionTimestamp != nil || !ours(pod):
		l.forget(key, nodes)
	default:
		changed := old == nil || old.Generation != pod.Generation || !maps.Equal(old.Labels, pod.Labels)
		l.queue.Put(snapshot.NewPod(pod), changed, now)
		if len(pod.Spec.SchedulingGates) > 0 {
			l.condition(pod, corev1.PodReasonSchedulingGated, "Scheduling is blocked due to non-empty scheduling gates", now)
		}
	}
}

func ours(pod *corev1.Pod) bool {
	return pod.Spec.SchedulerName == corev1.DefaultSchedulerName || pod.Spec.SchedulerName == ""
}

// forget takes a pod out of everything.
func (l *loop) forget(key view.Key, nodes touched) {
	l.queue.Remove(key)
	if node := l.snap.RemovePod(key); node != "" {
		nodes.add(node, snapshot.PodFreed)
	}
}

// wake lets pods be tried again that the events may help. A pod whose
// rejections concern one node each is asked right here whether it fits one of
// those that changed, so that a pod leaving does not wake all that wait.
func (l *loop) wake(nodes touched, now time.Time) {
	var all snapshot.Event
	var there []*snapshot.Node
	for name, event := range nodes {
		all |= event
		if n := l.snap.Node(name); n != nil {
			there = append(there, n)
		}
	}
	if all == 0 {
		return
	}
	l.queue.Wake(all, now, func(it *Item) (bool, snapshot.Event, bool) {
		return l.core.Recheck(l.snap, it.Pod, there)
	})
}

// place places pods that are due, at most a batch. It tells whether there may
// be more that can be placed at once.
func (l *loop) place() (more bool) {
	now := l.deps.Now()
	for range batch {
		if len(l.backlog) >= maxBacklog {
			return false // the end of a write calls again
		}
		it := l.queue.Pop(now)
		if it == nil {
			return false
		}
		d := l.core.Schedule(l.snap, it.Pod, l.rnd)
		if d.Node == "" {
			l.refuse(it, &d, now)
			continue
		}
		l.snap.Assume(it.Pod, d.Node)
		it.node = d.Node
		l.start(task{op: bindOp(it), item: it})
	}
	return true
}

func bindOp(it *Item) client.Op {
	key := it.Pod.Key
	return client.Op{
		Verb: resource.Create, Kind: resource.Pods.Info, Subresource: "binding",
		Namespace: key.Namespace, Name: key.Name,
		Object: &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: it.UID()},
			Target:     corev1.ObjectReference{Kind: "Node", Name: it.node},
		},
		Cause: "scheduled",
	}
}

// refuse tells why no node fits, and lets the pod wait for what may help.
func (l *loop) refuse(it *Item, d *Decision, now time.Time) {
	pod, message := it.Pod.Object, d.Message()
	l.queue.Wait(it, d.Wakes, d.Wide, now)
	l.note(pod, true, "FailedScheduling", message)
	l.condition(pod, corev1.PodReasonUnschedulable, message, now)
}

// finish takes over the end of a write.
func (l *loop) finish(r result) {
	l.startNext()
	gone := apierrors.IsNotFound(r.err) || apierrors.IsConflict(r.err) // the view will tell
	if r.item == nil {
		if r.err != nil && !gone && l.ctx.Err() == nil {
			l.deps.Log.Warn("write pod condition", slog.String("op", r.op.String()), slog.Any("err", r.err))
		}
		return
	}
	it := r.item
	if r.err == nil {
		l.note(it.Pod.Object, false, "Scheduled", fmt.Sprintf("Successfully assigned %s to %s", it.Pod.Key, it.node))
		return
	}
	l.unbound(it, r.err, gone)
}

// unbound takes back a pod whose binding failed.
func (l *loop) unbound(it *Item, err error, gone bool) {
	now, nodes := l.deps.Now(), touched{}
	if l.snap.Assumed(it.Pod.Key, it.UID()) {
		nodes.add(l.snap.RemovePod(it.Pod.Key), snapshot.PodFreed)
	}
	if l.queue.Get(it.Pod.Key) == it {
		l.queue.Retry(it, now)
		if !gone && l.ctx.Err() == nil {
			message := fmt.Sprintf("binding rejected: %v", err)
			l.deps.Log.Warn("bind pod", slog.String("pod", it.Pod.Key.String()), slog.String("node", it.node), slog.Any("err", err))
			l.note(it.Pod.Object, true, "FailedScheduling", message)
			l.condition(it.Pod.Object, corev1.PodReasonSchedulerError, message, now)
		}
	}
	l.wake(nodes, now)
}

func (l *loop) note(pod *corev1.Pod, warning bool, reason, message string) {
	action := "Scheduling"
	if !warning {
		action = "Binding"
	}
	l.deps.Events.Record(event.Note{
		About: pod, Kind: resource.Pods.Info, Warning: warning, Reason: reason, Message: message, Action: action,
	})
}

// condition writes PodScheduled=False, unless the pod says just that.
func (l *loop) condition(pod *corev1.Pod, reason, message string, now time.Time) {
	if c, changed := unscheduled(pod, reason, message, now); changed {
		l.start(task{op: conditionOp(pod, c)})
	}
}
