package node

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/node/cri"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// record is what the loop knows of one pod.
type record struct {
	uid      types.UID
	pod      *corev1.Pod // shared with the view: not to be changed
	granted  *corev1.Pod // pod with the resources that it was granted; no more to be changed
	gone     bool
	admitted bool
	seen     Observed
	state    State
	writer   statusWriter

	due   time.Time // of the next step; zero for none
	index int       // among the timers; -1 for none
	// refresh is when the volumes' tokens are to be renewed.
	refresh    time.Time
	refreshing bool
	stale      bool // volumes are to be refreshed again
	// waiters are closed when the container run ends: readers of its log wait.
	waiters map[string][]chan struct{}
}

func (a *Agent) record(uid types.UID, pod *corev1.Pod) *record {
	r := a.pods[uid]
	if r == nil {
		r = &record{uid: uid, index: -1, pod: pod, granted: pod}
		r.seen.Probes = map[string]Probed{}
		a.pods[uid] = r
	}
	return r
}

// take builds records from what the runtime runs.
func (a *Agent) take(found []cri.Pod, now time.Time) {
	for _, p := range found {
		meta := p.Sandbox.Metadata
		if meta.GetUid() == "" {
			continue
		}
		r := a.record(types.UID(meta.GetUid()), stray(p.Sandbox, p.Containers))
		r.gone = true // until the API is found to have it
		r.admitted = true
		a.merge(r, p.Sandbox, p.Containers)
	}
}

// stray makes up a pod for what is found in the runtime.
func stray(s *runtimeapi.PodSandboxStatus, containers []*runtimeapi.ContainerStatus) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: s.Metadata.GetName(), Namespace: s.Metadata.GetNamespace(), UID: types.UID(s.Metadata.GetUid()),
	}}
	for _, c := range containers {
		for _, name := range []string{deletionGraceAnnotation, podGraceAnnotation} {
			if n, err := strconv.ParseInt(c.Annotations[name], 10, 64); err == nil {
				pod.DeletionGracePeriodSeconds = &n
				return pod
			}
		}
	}
	return pod
}

// merge adds what the runtime says of a pod to its record.
func (a *Agent) merge(r *record, sandbox *runtimeapi.PodSandboxStatus, containers []*runtimeapi.ContainerStatus) {
	if sandbox == nil {
		return
	}
	r.seen.MergeSandbox(SandboxOf(sandbox))
	for _, c := range containers {
		a.mergeContainer(r, ContainerOf(sandbox.Id, c))
	}
}

func (a *Agent) mergeContainer(r *record, c Container) {
	if old := r.seen.container(c.ID); c.State == Exited && (old == nil || old.State != Exited) && c.Message == "" {
		c.Message = a.lastWords(&c)
	}
	r.seen.MergeContainer(c)
	if c.State >= Exited {
		a.probes.Remove(c.ID)
		delete(r.seen.Probes, c.ID)
		r.release(c.ID)
	}
}

// release lets those go on that wait for a container run to end.
func (r *record) release(id string) {
	for _, done := range r.waiters[id] {
		close(done)
	}
	delete(r.waiters, id)
}

// resync takes in all pods of the view, as at the start.
func (a *Agent) resync(v *view.View) {
	now := time.Now()
	present := map[types.UID]bool{}
	for pod := range view.By(v, resource.Pods, resource.PodNodeIndex, a.config.Name) {
		if isMirror(pod) {
			a.mirrored(pod, now)
			continue
		}
		present[pod.UID] = true
		a.put(pod)
	}
	for uid, r := range a.pods {
		if !present[uid] && !isStatic(r.pod) {
			r.gone = true
		}
	}
	a.mirrorAll()
	// The oldest first: they were admitted before.
	for _, r := range slices.SortedFunc(maps.Values(a.pods), func(x, y *record) int {
		return x.pod.CreationTimestamp.Compare(y.pod.CreationTimestamp.Time)
	}) {
		a.step(r, now)
	}
}

// put takes in a pod of the API.
func (a *Agent) put(pod *corev1.Pod) *record {
	r := a.record(pod.UID, pod)
	first := r.pod != pod && r.gone && len(r.state.Containers) == 0 || r.writer.base == nil
	told := r.pod
	r.pod, r.granted, r.gone = pod, r.state.Allocation.of(pod), false
	a.byName[view.KeyOf(pod)] = pod.UID
	if first {
		a.recall(r)
	}
	r.writer.observe(pod)
	if len(told.Spec.EphemeralContainers) < len(pod.Spec.EphemeralContainers) {
		r.state.Mounted = false // it may use a volume that nobody did before
	}
	if !maps.Equal(told.Labels, pod.Labels) || !maps.Equal(told.Annotations, pod.Annotations) {
		a.refresh(r) // the downward API tells of these
	}
	return r
}

// recall takes over from the API what probes had found before a restart.
func (a *Agent) recall(r *record) {
	for i := range r.seen.Containers {
		c := &r.seen.Containers[i]
		st := statusOf(&r.pod.Status, c.Name)
		if c.State == Running && st != nil && st.ContainerID == containerIDPrefix+c.ID {
			r.seen.Probes[c.ID] = Probed{Started: st.Started != nil && *st.Started, Ready: st.Ready}
		}
	}
}

// changed takes in a change of the cluster.
func (a *Agent) changed(change watchcache.Change, v *view.View) {
	now := time.Now()
	switch obj := change.Entry().Object.(type) {
	case *corev1.Pod:
		if isMirror(obj) {
			if obj.Spec.NodeName == a.config.Name {
				a.mirrored(obj, now)
			}
			return
		}
		if change.Old != nil {
			a.left(change.Old.Object.(*corev1.Pod), change.New, now)
		}
		if change.New != nil && obj.Spec.NodeName == a.config.Name {
			a.step(a.put(obj), now)
		}
	case *corev1.ConfigMap:
		a.follow(obj, func(pod *corev1.Pod) bool { return refersTo(pod, obj.Name, "") }, now)
	case *corev1.Secret:
		a.follow(obj, func(pod *corev1.Pod) bool { return refersTo(pod, "", obj.Name) }, now)
	case *certificatesv1.ClusterTrustBundle:
		a.follow(obj, func(pod *corev1.Pod) bool { return trusts(pod, obj) }, now)
	case *corev1.PersistentVolumeClaim:
		a.follow(obj, func(pod *corev1.Pod) bool { return !a.pods[pod.UID].state.Mounted && claims(pod, obj.Name) }, now)
	case *corev1.PersistentVolume:
		a.reclaim(obj, change.New == nil)
	case *certificatesv1.PodCertificateRequest:
		a.follow(obj, func(pod *corev1.Pod) bool { return pod.UID == obj.Spec.PodUID }, now)
	}
}

// left takes in that a pod is gone from the API, or has made way for another of
// its name.
func (a *Agent) left(old *corev1.Pod, next *view.Entry, now time.Time) {
	if next != nil && next.Object.GetUID() == old.UID {
		return
	}
	r := a.pods[old.UID]
	if r == nil {
		return
	}
	r.gone = true
	a.step(r, now)
}

// follow lets the pods that refer to a changed object know. One whose volumes are
// being made may have read the object before it changed: it looks again after.
func (a *Agent) follow(obj resource.Object, refers func(*corev1.Pod) bool, now time.Time) {
	for _, r := range a.pods {
		elsewhere := obj.GetNamespace() != "" && obj.GetNamespace() != r.pod.Namespace
		if r.gone || elsewhere || !refers(r.pod) {
			continue
		}
		r.stale = r.stale || !r.state.Mounted
		r.state = Retry(r.state)
		a.step(r, now)
		a.refresh(r)
	}
}

// step decides about a pod and begins what is decided.
func (a *Agent) step(r *record, now time.Time) {
	if !a.synced && a.static.wanted[view.KeyOf(r.pod)] == nil && !isStatic(r.pod) {
		return // whether the API has it is not known yet
	}
	a.admit(r)
	if !r.refresh.IsZero() && !now.Before(r.refresh) {
		a.refresh(r)
	}
	in := Input{
		Pod: r.pod, Gone: r.gone, Seen: &r.seen, HostIPs: a.config.Addresses, Fits: func() *Refusal { return a.fits(r) },
		Now: now, Renewed: a.renewed, Lease: a.config.Lease,
	}
	var d Decision
	before := r.state.Status.Phase
	r.state, d = Step(in, r.state)
	if before == corev1.PodPending && d.Status.Phase == corev1.PodRunning {
		a.metrics.PodRuns(now.Sub(r.state.Started))
	}
	r.granted = d.Pod
	if d.Resized {
		a.refresh(r) // the downward API tells of resources
	}
	if d.Resized || d.Forget || ended(d.Status.Phase) && !ended(before) {
		a.reconsider(now)
		a.reweigh = true
	}
	for _, e := range d.Events {
		a.tell(r.pod, e)
	}
	for _, action := range d.Actions {
		a.launch(r, action)
	}
	a.probe(r)
	if r.refresh.After(now) && (d.Wake.IsZero() || r.refresh.Before(d.Wake)) && !r.state.Cleaned {
		d.Wake = r.refresh
	}
	a.timers.set(r, d.Wake)
	if d.Forget {
		a.forget(r)
		return
	}
	if !r.gone {
		a.write(r, d.Status)
	}
}

// admit decides once whether the node takes a pod.
func (a *Agent) admit(r *record) {
	if r.admitted {
		return
	}
	r.admitted = true
	if r.gone || ended(r.pod.Status.Phase) || r.pod.DeletionTimestamp != nil {
		return
	}
	if r.state.Refused = a.scarce.Refuse(r.pod); r.state.Refused == nil {
		r.state.Refused = a.fits(r)
	}
	a.reweigh = true
	if no := r.state.Refused; no != nil {
		a.tell(r.pod, Event{Warning: true, Reason: no.Reason, Message: no.Message})
	}
}

// fits says why the node has no room for a pod as it now is, or nil.
func (a *Agent) fits(r *record) *Refusal {
	node := a.node
	if n, ok := view.Get(a.client.Cache().View(), resource.Nodes, "", a.config.Name); ok {
		node = n
		if len(n.Status.Allocatable) == 0 {
			node = n.DeepCopy()
			node.Status = a.node.Status
		}
	}
	return Admit(r.pod, a.living(r), node)
}

// living are the pods that hold resources of the node, but for one, as they were
// granted.
func (a *Agent) living(but *record) []*corev1.Pod {
	var all []*corev1.Pod
	for _, r := range a.pods {
		if r != but && r.admitted && r.state.Refused == nil && !ended(r.state.Status.Phase) && !ended(r.pod.Status.Phase) {
			all = append(all, r.granted)
		}
	}
	return all
}

// reconsider has the pods whose resizes wait for room look again.
func (a *Agent) reconsider(now time.Time) {
	var waiting []*record
	for _, r := range a.pods {
		if r.state.Resize.Pending != nil {
			waiting = append(waiting, r)
		}
	}
	slices.SortFunc(waiting, func(x, y *record) int { return resizeOrder(x.pod, y.pod, x.granted, y.granted) })
	for i, r := range waiting {
		a.timers.set(r, now.Add(time.Duration(i))) // the loop takes them in this order
	}
}

// tell records an event about a pod.
func (a *Agent) tell(pod *corev1.Pod, e Event) {
	if pod.ResourceVersion == "" && !isStatic(pod) {
		return // made up: the API never knew it, or does no longer
	}
	note := event.Note{About: pod, Kind: resource.Pods.Info, Warning: e.Warning, Reason: e.Reason, Message: e.Message}
	if e.Container != "" {
		list := "containers"
		switch {
		case isInit(pod, e.Container):
			list = "initContainers"
		case isEphemeral(pod, e.Container):
			list = "ephemeralContainers"
		}
		note.Path = "spec." + list + "{" + e.Container + "}"
	}
	a.events.Record(note)
}

// forget drops a pod of which nothing is left.
func (a *Agent) forget(r *record) {
	for i := range r.seen.Containers {
		a.probes.Remove(r.seen.Containers[i].ID)
	}
	for id := range r.waiters {
		r.release(id)
	}
	a.timers.set(r, time.Time{})
	delete(a.pods, r.uid)
	if key := view.KeyOf(r.pod); a.byName[key] == r.uid {
		delete(a.byName, key)
	}
	a.tokens.forget(r.uid)
	a.certificates.forget(r.uid)
	if err := os.RemoveAll(LogFolder(a.config.Logs, r.pod)); err != nil {
		a.log.Warn("the logs of a pod that is gone stay", "pod", view.KeyOf(r.pod), "err", err)
	}
	if isStatic(r.pod) || a.static.wanted[view.KeyOf(r.pod)] != nil {
		a.runStatic(view.KeyOf(r.pod))
		a.mirror(view.KeyOf(r.pod))
	}
}
