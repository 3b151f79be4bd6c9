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

	profiles map[string]*profile // by spec.schedulerName
	snap     *snapshot.Snapshot
	queue    *Queue
	rnd      *rand.Rand
	volumes  map[view.Key]*volumes // of pods that wait for theirs

	running int
	most    int // running at once
	backlog []task
	results chan result
	spawn   func(write func()) // lets it run beside the loop
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
	for _, kind := range Kinds() {
		if kind != resource.Pods.Info {
			for e := range v.Entries(kind, "", view.Key{}) {
				l.follow(e.Object, touched{})
			}
		}
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

// apply takes over changes.
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
		pod, isPod := c.Entry().Object.(*corev1.Pod)
		switch {
		case isPod && obj == nil:
			l.forget(view.KeyOf(pod), nodes)
		case isPod:
			before, _ := old.(*corev1.Pod)
			l.observe(before, pod, nodes, now)
		case obj == nil:
			l.unfollow(old, nodes)
		default:
			l.follow(obj, nodes)
		}
	}
	l.settleVolumes(now)
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
	case pod.DeletionTimestamp != nil || l.profile(pod) == nil:
		l.forget(key, nodes)
	default:
		changed := old == nil || old.Generation != pod.Generation || !maps.Equal(old.Labels, pod.Labels)
		p := snapshot.NewPod(pod)
		l.queue.Put(p, changed, now)
		l.promised(old, p)
	}
}

// profile returns what places the pod, nil if it is not for this scheduler.
func (l *loop) profile(pod *corev1.Pod) *profile {
	name := pod.Spec.SchedulerName
	if name == "" {
		name = corev1.DefaultSchedulerName
	}
	return l.profiles[name]
}

// promised takes over what the pod says of the node that it is to get. One that
// says nothing may be about to.
func (l *loop) promised(old *corev1.Pod, p *snapshot.Pod) {
	switch node := p.Object.Status.NominatedNodeName; {
	case node != "":
		l.snap.Nominate(p, node)
	case old != nil && old.Status.NominatedNodeName != "":
		l.snap.Denominate(p.Key)
	}
}

// forget takes a pod out of everything.
func (l *loop) forget(key view.Key, nodes touched) {
	l.queue.Remove(key)
	l.release(key)
	if node := l.snap.Denominate(key); node != "" {
		nodes.add(node, snapshot.PodFreed)
	}
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
		if name == everywhere {
			continue
		}
		if n := l.snap.Node(name); n != nil {
			there = append(there, n)
		}
	}
	if all == 0 {
		return
	}
	l.queue.Wake(all, now, func(it *Item) (bool, snapshot.Event, bool) {
		if nodes[everywhere]&it.wakes != 0 {
			return true, 0, false // there is no node to ask about
		}
		return l.profile(it.Pod.Object).core.Recheck(l.snap, it.Pod, there)
	})
}

// place places pods that are due, at most that many. It tells whether there may
// be more that can be placed at once.
func (l *loop) place(most int) (more bool) {
	now := l.deps.Now()
	for range most {
		if len(l.backlog) >= maxBacklog {
			return false // the end of a write calls again
		}
		it := l.queue.Pop(now)
		if it == nil {
			return false
		}
		p := l.profile(it.Pod.Object)
		d := p.core.Schedule(l.snap, it.Pod, l.rnd)
		if d.Node == "" {
			if p.preempts && d.Nodes > 0 {
				p.core.Preempt(l.snap, it.Pod, &d, l.rnd)
			}
			l.refuse(it, &d, now)
			continue
		}
		it.node, it.among = d.Node, d.Nodes
		if l.claim(it, now) {
			continue // it is bound when its volumes are
		}
		l.snap.Assume(it.Pod, d.Node)
		l.start(task{ops: []client.Op{bindOp(it)}, item: it})
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
		Cause: fmt.Sprintf("chosen out of the nodes, %d in all", it.among),
	}
}

// refuse tells why no node fits, and lets the pod wait for what may help.
func (l *loop) refuse(it *Item, d *Decision, now time.Time) {
	pod, message := it.Pod.Object, d.Message()
	l.queue.Wait(it, d.Wakes, d.Wide, now)
	l.note(pod, true, "FailedScheduling", message)
	node := d.Preemption.Node
	switch {
	case node != "":
		l.preempt(it.Pod, &d.Preemption, now)
	case d.Preemption.Keeps || !d.Preemption.tried:
		node = pod.Status.NominatedNodeName
	default:
		l.snap.Denominate(it.Pod.Key)
	}
	l.tell(pod, corev1.PodReasonUnschedulable, message, node, now)
}

// finish takes over the end of a write.
func (l *loop) finish(r result) {
	l.startNext()
	gone := apierrors.IsNotFound(r.err) || apierrors.IsConflict(r.err) // the view will tell
	switch {
	case r.item == nil && r.err != nil:
		if !gone && l.ctx.Err() == nil {
			l.deps.Log.Warn("write for a pod", slog.String("op", r.ops[0].String()), slog.Any("err", r.err))
		}
	case r.item == nil:
		if r.note != nil {
			l.deps.Events.Record(*r.note)
		}
	case r.err != nil:
		l.unbound(r.item, r.err, gone)
	case r.claims:
		l.settleVolumes(l.deps.Now())
	default:
		it := r.item
		l.note(it.Pod.Object, false, "Scheduled", fmt.Sprintf("Successfully assigned %s to %s", it.Pod.Key, it.node))
	}
}

// unbound takes back a pod whose binding failed.
func (l *loop) unbound(it *Item, err error, gone bool) {
	now, nodes := l.deps.Now(), touched{}
	l.release(it.Pod.Key)
	if l.snap.Assumed(it.Pod.Key, it.UID()) {
		nodes.add(l.snap.RemovePod(it.Pod.Key), snapshot.PodFreed)
	}
	if l.queue.Get(it.Pod.Key) == it {
		l.queue.Retry(it, now)
		if !gone && l.ctx.Err() == nil {
			message := fmt.Sprintf("binding rejected: %v", err)
			l.deps.Log.Warn("bind pod", slog.String("pod", it.Pod.Key.String()), slog.String("node", it.node), slog.Any("err", err))
			l.note(it.Pod.Object, true, "FailedScheduling", message)
			l.rejected(it.Pod.Object, message, now)
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

// rejected writes PodScheduled=False to a pod whose binding met with an error, if it
// is still the pod that was to be bound: the binding may have happened all the same,
// and nobody takes that condition from a pod that has a node.
func (l *loop) rejected(pod *corev1.Pod, message string, now time.Time) {
	if c, changed := unscheduled(pod, corev1.PodReasonSchedulerError, message, now); changed {
		l.start(task{ops: []client.Op{rejectedOp(pod, c)}})
	}
}

// tell writes PodScheduled=False and the node that the pod is promised, unless
// the pod says just that.
func (l *loop) tell(pod *corev1.Pod, reason, message, node string, now time.Time) {
	if c, changed := unscheduled(pod, reason, message, now); changed || node != pod.Status.NominatedNodeName {
		l.start(task{ops: []client.Op{conditionOp(pod, c, node)}})
	}
}
