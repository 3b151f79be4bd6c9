package localvolume

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Volumes returns the controller of volumes.
func Volumes() controller.Controller {
	return controller.Controller{
		Name: "local-volume-deleter", EventSource: resource.LocalProvisioner,
		For:   resource.PersistentVolumes.Info,
		Wants: func(obj resource.Object) bool { return resource.IsLocalVolume(obj.(*corev1.PersistentVolume)) },
		Reads: []controller.Input{{Kind: resource.Nodes.Info, Keys: volumesOfNode}},
		Writes: []controller.Output{
			{Kind: resource.PersistentVolumes.Info, Verbs: []resource.Verb{resource.Update, resource.Delete}},
		},
		Reconcile: reconcileVolume,
	}
}

// volumesOfNode names the volumes that a node says it has removed, and where the
// node is gone all that nobody can remove any more.
func volumesOfNode(v *view.View, obj resource.Object) []view.Key {
	node := obj.(*corev1.Node)
	var keys []view.Key
	for _, name := range removed(node) {
		keys = append(keys, view.Key{Name: name})
	}
	if _, there := view.Get(v, resource.Nodes, "", node.Name); there {
		return keys
	}
	for pv := range view.List(v, resource.PersistentVolumes, "") {
		if resource.IsLocalVolume(pv) && resource.LocalVolumeHost(pv) == node.Labels[corev1.LabelHostname] {
			keys = append(keys, view.KeyOf(pv))
		}
	}
	return keys
}

func removed(node *corev1.Node) []string {
	names := node.Annotations[resource.LocalRemoved]
	if names == "" {
		return nil
	}
	return strings.Split(names, ",")
}

func reconcileVolume(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	pv, ok := view.Get(v, resource.PersistentVolumes, "", key.Name)
	if !ok || !resource.IsLocalVolume(pv) {
		return controller.Plan{}
	}
	has, ending := slices.Contains(pv.Finalizers, resource.LocalFinalizer), pv.DeletionTimestamp != nil
	switch {
	case pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete:
		if has {
			return update(without(pv), "its data is to be kept")
		}
	case !ending && !has:
		next := pv.DeepCopy()
		next.Finalizers = append(next.Finalizers, resource.LocalFinalizer)
		return update(next, "its data is to be removed first")
	case !resource.LocalVolumeOver(pv) || !cleared(v, pv):
	case !ending:
		op := client.Delete(resource.PersistentVolumes, pv)
		op.Cause = "nobody claims it, and its data is removed"
		return controller.Plan{Do: []client.Op{op}}
	case has:
		return update(without(pv), "its data is removed")
	}
	return controller.Plan{}
}

// cleared tells whether the data of a volume is gone: its node says so, or is
// gone with it.
func cleared(v *view.View, pv *corev1.PersistentVolume) bool {
	gone := true
	for node := range view.List(v, resource.Nodes, "") {
		if node.Labels[corev1.LabelHostname] != resource.LocalVolumeHost(pv) {
			continue
		}
		if slices.Contains(removed(node), pv.Name) {
			return true
		}
		gone = false
	}
	return gone
}

func without(pv *corev1.PersistentVolume) *corev1.PersistentVolume {
	next := pv.DeepCopy()
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == resource.LocalFinalizer })
	return next
}

func update(pv *corev1.PersistentVolume, cause string) controller.Plan {
	op := client.Update(resource.PersistentVolumes, pv)
	op.Cause = cause
	return controller.Plan{Do: []client.Op{op}}
}
