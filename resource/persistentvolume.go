package resource

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// PersistentVolumes is the kind PersistentVolume.
var PersistentVolumes = Define(Kind[*corev1.PersistentVolume]{
	Version: "v1", Kind: "PersistentVolume", Resource: "persistentvolumes", Short: []string{"pv"},
	ShowsDeleted: true,
	Recheck:      AsNew,
	Default:      defaultPersistentVolume,
	Prepare:      preparePersistentVolume,
	Validate: func(req Request, v, old *corev1.PersistentVolume) field.ErrorList {
		if req.Subresource == "status" {
			return nil
		}
		return validate.PersistentVolume(v, old)
	},
	Warn:    warnPersistentVolume,
	Status:  func(to, from *corev1.PersistentVolume) { to.Status = from.Status },
	Columns: persistentVolumeColumns,
	Indexes: map[string]func(*corev1.PersistentVolume) []string{VolumeClaimIndex: volumeClaim},
})

// VolumeClaimIndex is the index of volumes by the claim, NAMESPACE/NAME, that
// they are for.
const VolumeClaimIndex = "spec.claimRef"

func volumeClaim(v *corev1.PersistentVolume) []string {
	if v.Spec.ClaimRef == nil {
		return nil
	}
	return []string{v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name}
}

func defaultPersistentVolume(v *corev1.PersistentVolume) {
	setIfEmpty(&v.Status.Phase, corev1.VolumePending)
	s := &v.Spec
	setIfEmpty(&s.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	setIfNil(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
	defaultVolumeSpec(s)
}

// defaultVolumeSpec fills in what every volume's spec has, be it a volume of
// its own or one that is written into an attachment.
func defaultVolumeSpec(s *corev1.PersistentVolumeSpec) {
	roundUp(s.Capacity)
	if s.HostPath != nil {
		setIfNil(&s.HostPath.Type, corev1.HostPathUnset)
	}
	if s.RBD != nil {
		setIfEmpty(&s.RBD.RBDPool, "rbd")
		setIfEmpty(&s.RBD.RadosUser, "admin")
		setIfEmpty(&s.RBD.Keyring, "/etc/ceph/keyring")
	}
	if s.ISCSI != nil {
		setIfEmpty(&s.ISCSI.ISCSIInterface, "default")
	}
	defaultAzureDisk(s.AzureDisk)
	if s.ScaleIO != nil {
		setIfEmpty(&s.ScaleIO.StorageMode, "ThinProvisioned")
		setIfEmpty(&s.ScaleIO.FSType, "xfs")
	}
}

// preparePersistentVolume keeps the time at which the phase changed (KEP-3762).
func preparePersistentVolume(req Request, v, old *corev1.PersistentVolume) {
	if old == nil {
		v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &req.Now}
		return
	}
	if req.Subresource != "status" {
		return
	}
	now, was := &v.Status, &old.Status
	switch {
	case now.Phase == was.Phase && now.LastPhaseTransitionTime == nil:
		now.LastPhaseTransitionTime = was.LastPhaseTransitionTime
	case now.Phase != was.Phase && (now.LastPhaseTransitionTime == nil || now.LastPhaseTransitionTime.Equal(was.LastPhaseTransitionTime)):
		now.LastPhaseTransitionTime = &req.Now
	}
}

var persistentVolumeColumns = []Column[*corev1.PersistentVolume]{
	nameColumn[*corev1.PersistentVolume](),
	column("Capacity", corev1.PersistentVolumeSpec{}.SwaggerDoc()["capacity"],
		func(v *corev1.PersistentVolume) any { return storage(v.Spec.Capacity) }),
	column("Access Modes", corev1.PersistentVolumeSpec{}.SwaggerDoc()["accessModes"],
		func(v *corev1.PersistentVolume) any { return accessModes(v.Spec.AccessModes) }),
	column("Reclaim Policy", corev1.PersistentVolumeSpec{}.SwaggerDoc()["persistentVolumeReclaimPolicy"],
		func(v *corev1.PersistentVolume) any { return string(v.Spec.PersistentVolumeReclaimPolicy) }),
	column("Status", corev1.PersistentVolumeStatus{}.SwaggerDoc()["phase"], func(v *corev1.PersistentVolume) any {
		if v.DeletionTimestamp != nil {
			return "Terminating"
		}
		return string(v.Status.Phase)
	}),
	column("Claim", corev1.PersistentVolumeSpec{}.SwaggerDoc()["claimRef"], func(v *corev1.PersistentVolume) any {
		if ref := v.Spec.ClaimRef; ref != nil {
			return ref.Namespace + "/" + ref.Name
		}
		return ""
	}),
	column("StorageClass", "StorageClass of the pv", func(v *corev1.PersistentVolume) any {
		if class, ok := v.Annotations[corev1.BetaStorageClassAnnotation]; ok {
			return class
		}
		return v.Spec.StorageClassName
	}),
	column("VolumeAttributesClass", "VolumeAttributesClass of the pv",
		func(v *corev1.PersistentVolume) any { return derefOr(v.Spec.VolumeAttributesClassName, "<unset>") }),
	column("Reason", corev1.PersistentVolumeStatus{}.SwaggerDoc()["reason"], func(v *corev1.PersistentVolume) any { return v.Status.Reason }),
	ageColumn[*corev1.PersistentVolume](),
	wideColumn("VolumeMode", corev1.PersistentVolumeSpec{}.SwaggerDoc()["volumeMode"],
		func(v *corev1.PersistentVolume) any { return string(derefOr(v.Spec.VolumeMode, "<unset>")) }),
}

// storage writes how much a volume holds, "0" for none.
func storage(list corev1.ResourceList) string {
	q := list[corev1.ResourceStorage]
	return q.String()
}

func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var all []string
	for _, m := range []struct {
		mode corev1.PersistentVolumeAccessMode
		text string
	}{{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"}} {
		if slices.Contains(modes, m.mode) {
			all = append(all, m.text)
		}
	}
	return strings.Join(all, ",")
}

// warnPersistentVolume is silent about changes of the status.
func warnPersistentVolume(v, old *corev1.PersistentVolume) []string {
	var w warnings
	if old != nil && !equality.Semantic.DeepEqual(v.Status, old.Status) {
		return nil
	}
	annotations := (*field.Path)(nil).Child("metadata", "annotations")
	for _, old := range []struct{ key, message string }{
		{corev1.BetaStorageClassAnnotation, `deprecated since v1.8; use "storageClassName" attribute instead`},
		{corev1.MountOptionAnnotation, `deprecated since v1.31; use "mountOptions" attribute instead`},
	} {
		if _, ok := v.Annotations[old.key]; ok {
			w.add("%s: %s", annotations.Key(old.key), old.message)
		}
	}
	at, s := field.NewPath("spec"), &v.Spec
	if s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		w.add("%s: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.", at.Child("persistentVolumeReclaimPolicy"))
	}
	if s.NodeAffinity != nil && s.NodeAffinity.Required != nil {
		for i := range s.NodeAffinity.Required.NodeSelectorTerms {
			w.term(at.Child("nodeAffinity", "required", "nodeSelectorTerms").Index(i), &s.NodeAffinity.Required.NodeSelectorTerms[i], false)
		}
	}
	for _, gone := range []struct {
		set              bool
		name, since, end string
	}{
		{s.CephFS != nil, "cephfs", "v1.28", "v1.31"},
		{s.PhotonPersistentDisk != nil, "photonPersistentDisk", "v1.11", "v1.16"},
		{s.ScaleIO != nil, "scaleIO", "v1.16", "v1.22"},
		{s.StorageOS != nil, "storageOS", "v1.22", "v1.25"},
		{s.Glusterfs != nil, "glusterfs", "v1.25", "v1.26"},
		{s.RBD != nil, "rbd", "v1.28", "v1.31"},
	} {
		if gone.set {
			w.add("%s: deprecated in %s, non-functional in %s+", at.Child(gone.name), gone.since, gone.end)
		}
	}
	return w.all
}
