package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/view"
)

// bindTimeout is how long a pod that has a node may wait for its volumes:
// upstream's bindTimeoutSeconds.
const bindTimeout = 600 * time.Second

// volumes is what a placed pod waits for before it is bound.
type volumes struct {
	item    *Item
	until   time.Time
	assumed []resource.Object
}

// claim takes the volumes that the pod is to have on its node, and asks for those
// that are to be made. It is false where there is nothing to wait for.
func (l *loop) claim(it *Item, now time.Time) bool {
	n := l.snap.Node(it.node)
	if len(it.Pod.Claims) == 0 || n == nil {
		return false
	}
	all, never := plugin.NewVolumes(it.Pod, l.snap)
	if never != "" {
		return false
	}
	use, _ := all.On(n)
	if len(use.Bind) == 0 && len(use.Provision) == 0 {
		return false
	}
	w := &volumes{item: it, until: now.Add(bindTimeout)}
	var ops []client.Op
	take := func(kind *resource.Info, obj resource.Object) {
		l.snap.Storage.Assume(obj)
		w.assumed = append(w.assumed, obj)
		ops = append(ops, client.Op{
			Verb: resource.Update, Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(), Object: obj,
			Cause: fmt.Sprintf("pod %s is placed on node %s", it.Pod.Key, it.node),
		})
	}
	for _, b := range use.Bind {
		take(resource.PersistentVolumes.Info, boundTo(b))
	}
	for _, c := range use.Provision {
		c = c.DeepCopy()
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, volume.AnnSelectedNode, it.node)
		take(resource.PersistentVolumeClaims.Info, c)
	}
	l.volumes[it.Pod.Key] = w
	l.snap.Assume(it.Pod, it.node)
	l.start(task{ops: ops, item: it, claims: true})
	return true
}

// boundTo returns the volume with a reference to its claim. The volume
// controller does the rest.
func boundTo(b plugin.Binding) *corev1.PersistentVolume {
	pv := b.Volume.DeepCopy()
	if volume.IsVolumeBoundToClaim(pv, b.Claim) && pv.Spec.ClaimRef.UID == b.Claim.UID {
		return pv
	}
	if pv.Spec.ClaimRef == nil {
		metav1.SetMetaDataAnnotation(&pv.ObjectMeta, volume.AnnBoundByController, "yes")
	}
	pv.Spec.ClaimRef = &corev1.ObjectReference{
		APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: b.Claim.Namespace, Name: b.Claim.Name,
		UID: b.Claim.UID, ResourceVersion: b.Claim.ResourceVersion,
	}
	return pv
}

// settleVolumes binds the pods whose volumes are bound, and gives up on those
// that have waited too long or whose node is not to have them after all.
func (l *loop) settleVolumes(now time.Time) {
	for _, key := range slices.SortedFunc(maps.Keys(l.volumes), view.Key.Compare) {
		w := l.volumes[key]
		done, err := l.settled(w)
		if err == nil && !done && !now.Before(w.until) {
			err = errors.New("binding volumes: context deadline exceeded")
		}
		switch {
		case err != nil:
			l.unbound(w.item, err, false)
		case done:
			delete(l.volumes, key)
			l.start(task{ops: []client.Op{bindOp(w.item)}, item: w.item})
		}
	}
}

// settled tells whether all claims of the pod are bound, as far as its node
// still may have them.
func (l *loop) settled(w *volumes) (bool, error) {
	for _, c := range w.item.Pod.Claims {
		claim := l.snap.Storage.Claim(view.Key{Namespace: w.item.Pod.Key.Namespace, Name: c.Name})
		if claim == nil {
			return false, fmt.Errorf("binding volumes: failed to check binding: could not find v1.PersistentVolumeClaim %q", w.item.Pod.Key.Namespace+"/"+c.Name)
		}
		if plugin.Bound(claim) {
			continue
		}
		if selected, ok := claim.Annotations[volume.AnnSelectedNode]; (!ok && w.provisions(claim)) || ok && selected != w.item.node {
			return false, fmt.Errorf("binding volumes: provisioning failed for PVC %q", claim.Name)
		}
		return false, nil
	}
	return true, nil
}

// provisions tells whether a volume was to be made for the claim.
func (w *volumes) provisions(claim *corev1.PersistentVolumeClaim) bool {
	for _, obj := range w.assumed {
		if c, ok := obj.(*corev1.PersistentVolumeClaim); ok && c.UID == claim.UID {
			return true
		}
	}
	return false
}

// release gives back what a pod had taken that is not to be bound now.
func (l *loop) release(key view.Key) {
	w := l.volumes[key]
	if w == nil {
		return
	}
	delete(l.volumes, key)
	for _, obj := range w.assumed {
		l.snap.Storage.Restore(obj)
	}
}

// volumesDue is when the first pod has waited too long for its volumes.
func (l *loop) volumesDue() (first time.Time, waits bool) {
	for _, w := range l.volumes {
		if !waits || w.until.Before(first) {
			first, waits = w.until, true
		}
	}
	return first, waits
}
