package scheduler

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// storage makes classes, volumes, claims and what drivers say of nodes.
func (w *world) storage() {
	later, now := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	yes := true
	w.others = append(w.others,
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "later"}, Provisioner: "csi", VolumeBindingMode: &later,
			AllowedTopologies: []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: corev1.LabelTopologyZone, Values: []string{"a", "b"}}}}}},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "static"}, Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &later},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "now"}, Provisioner: "csi", VolumeBindingMode: &now},
		&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "csi"}, Spec: storagev1.CSIDriverSpec{StorageCapacity: &yes}})
	for _, zone := range zones {
		q := quantity("%dGi", 1+w.rnd.IntN(6))
		w.others = append(w.others, &storagev1.CSIStorageCapacity{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: zone}, StorageClassName: "later",
			Capacity: &q, NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelTopologyZone: zone}}})
	}
	for _, n := range w.nodes {
		count := int32(1 + w.rnd.IntN(3))
		if w.one(2) {
			w.others = append(w.others, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: n.Name}, Spec: storagev1.CSINodeSpec{
				Drivers: []storagev1.CSINodeDriver{{Name: "csi", NodeID: n.Name, Allocatable: &storagev1.VolumeNodeResources{Count: &count}}}}})
		}
	}
	for i := range 6 {
		w.claim(i)
		w.volume(fmt.Sprintf("free-%d", i), "static", nil)
	}
}

// volume makes a volume that some nodes reach.
func (w *world) volume(name, class string, claim *corev1.ObjectReference) {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Spec: corev1.PersistentVolumeSpec{
		StorageClassName: class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, ClaimRef: claim,
		Capacity:               corev1.ResourceList{"storage": quantity("%dGi", 1+w.rnd.IntN(4))},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "csi", VolumeHandle: name}}}}
	v.Status.Phase = corev1.VolumeAvailable
	if claim != nil {
		v.Status.Phase = corev1.VolumeBound
	}
	switch w.rnd.IntN(3) {
	case 0:
		v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: "In", Values: []string{pick(w, zones)}}}}}}}
	case 1:
		v.Labels = map[string]string{corev1.LabelTopologyZone: pick(w, zones) + "__" + pick(w, zones)}
	}
	w.others = append(w.others, v)
}

// claim makes a claim in each namespace, bound or not.
func (w *world) claim(i int) {
	for _, namespace := range namespaces {
		name := fmt.Sprintf("claim-%d", i)
		class := pick(w, []string{"later", "static", "static", "later", "now"})
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name)}, Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": quantity("%dGi", 1+w.rnd.IntN(3))}}}}
		if w.one(6) {
			c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
		}
		switch {
		case w.one(2):
			c.Spec.VolumeName = "pv-" + namespace + "-" + name
			c.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
			c.Status.Phase = corev1.ClaimBound
			if !w.one(8) {
				w.volume(c.Spec.VolumeName, class, &corev1.ObjectReference{Namespace: namespace, Name: name, UID: c.UID})
			}
		case w.one(4):
			c.Annotations = map[string]string{"volume.kubernetes.io/selected-node": pick(w, w.nodes).Name}
		}
		w.others = append(w.others, c)
	}
}

// volumes gives the pod volumes now and then.
func (w *world) volumes(p *corev1.Pod) {
	for i := 0; w.one(5); i++ {
		v := corev1.Volume{Name: fmt.Sprintf("v%d", i)}
		switch {
		case w.one(8):
			v.GCEPersistentDisk = &corev1.GCEPersistentDiskVolumeSource{PDName: pick(w, zones), ReadOnly: w.one(2)}
		case w.one(30):
			v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "missing"}
		default:
			v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: fmt.Sprintf("claim-%d", w.rnd.IntN(6))}
		}
		p.Spec.Volumes = append(p.Spec.Volumes, v)
	}
}
