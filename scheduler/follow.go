package scheduler

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
	"github.com/skiff-sh/skiff/view"
)

// Kinds are the objects that scheduling looks at.
func Kinds() []*resource.Info {
	return []*resource.Info{
		resource.Pods.Info, resource.Nodes.Info, resource.Namespaces.Info,
		resource.PodDisruptionBudgets.Info,
		resource.PersistentVolumeClaims.Info, resource.PersistentVolumes.Info, resource.StorageClasses.Info,
		resource.CSINodes.Info, resource.CSIDrivers.Info, resource.CSIStorageCapacities.Info, resource.VolumeAttachments.Info,
		resource.Services.Info, resource.ReplicaSets.Info, resource.StatefulSets.Info, resource.ReplicationControllers.Info,
	}
}

// everywhere stands for all nodes among touched.
const everywhere = ""

// Follow takes over the state of an object that is no pod, and returns what it
// may make possible, and on which node ("" for all).
func Follow(s *snapshot.Snapshot, obj resource.Object) (node string, event snapshot.Event) {
	switch o := obj.(type) {
	case *corev1.Namespace:
		s.SetNamespace(o.Name, o.Labels)
	case *corev1.Node:
		return o.Name, s.SetNode(o)
	case *policyv1.PodDisruptionBudget:
		s.Budgets.Set(o)
	default:
		s.Workloads.Set(obj)
		return everywhere, s.Storage.Set(obj)
	}
	return everywhere, 0
}

func (l *loop) follow(obj resource.Object, nodes touched) {
	nodes.add(Follow(l.snap, obj))
}

// unfollow takes over that an object that is no pod is gone.
func (l *loop) unfollow(obj resource.Object, nodes touched) {
	switch o := obj.(type) {
	case *corev1.Namespace:
		l.snap.RemoveNamespace(o.Name)
	case *corev1.Node:
		l.snap.RemoveNode(o.Name)
	case *policyv1.PodDisruptionBudget:
		l.snap.Budgets.Remove(view.KeyOf(o))
	default:
		l.snap.Workloads.Remove(obj)
		nodes.add(everywhere, l.snap.Storage.Remove(obj))
	}
}
