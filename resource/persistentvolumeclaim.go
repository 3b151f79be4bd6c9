package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// PersistentVolumeClaims is the kind PersistentVolumeClaim.
var PersistentVolumeClaims = Define(Kind[*corev1.PersistentVolumeClaim]{
	Version: "v1", Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims", Short: []string{"pvc"}, Namespaced: true,
	ShowsDeleted: true,
	Recheck:      AsUpdateAndNew,
	Default:      defaultClaim,
	Prepare:      prepareClaim,
	Validate: func(req Request, c, old *corev1.PersistentVolumeClaim) field.ErrorList {
		if req.Subresource == "status" {
			return validate.PersistentVolumeClaimStatus(c)
		}
		return validate.PersistentVolumeClaim(c, old)
	},
	Warn:    warnClaim,
	Status:  func(to, from *corev1.PersistentVolumeClaim) { to.Status = from.Status },
	Columns: claimColumns,
	Indexes: map[string]func(*corev1.PersistentVolumeClaim) []string{
		ClaimVolumeIndex: func(c *corev1.PersistentVolumeClaim) []string { return []string{c.Spec.VolumeName} },
	},
})

// ClaimVolumeIndex is the index of claims by the volume that they name; those
// that name none are under "".
const ClaimVolumeIndex = "spec.volumeName"

func defaultClaim(c *corev1.PersistentVolumeClaim) {
	setIfEmpty(&c.Status.Phase, corev1.ClaimPending)
	setIfNil(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	for _, list := range []corev1.ResourceList{c.Spec.Resources.Limits, c.Spec.Resources.Requests, c.Status.Capacity, c.Status.AllocatedResources} {
		roundUp(list)
	}
}

func prepareClaim(req Request, c, old *corev1.PersistentVolumeClaim) {
	if req.Subresource == "status" {
		if old.Status.HealthStatus == nil {
			c.Status.HealthStatus = nil // CSIVolumeHealth is off by default in 1.37
		}
		return
	}
	had := false
	if old == nil {
		c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
	} else {
		had = old.Spec.DataSource != nil || old.Spec.DataSourceRef != nil
	}
	prepareDataSource(&c.Spec, had, old != nil && old.Spec.DataSourceRef != nil)
}

// prepareDataSource makes the elder and the newer field for a volume's first
// content say the same (KEP-1495). In the elder one, anything but a claim or a
// snapshot has always been dropped. References to other namespaces are off by
// default in 1.37.
func prepareDataSource(s *corev1.PersistentVolumeClaimSpec, had, hadRef bool) {
	foreign := func() bool {
		return s.DataSourceRef != nil && s.DataSourceRef.Namespace != nil && *s.DataSourceRef.Namespace != ""
	}
	if foreign() && !hadRef {
		s.DataSourceRef = nil
	}
	if !had && s.DataSourceRef == nil && !elderSource(s.DataSource) {
		s.DataSource = nil
	}
	switch {
	case s.DataSource != nil && s.DataSourceRef == nil:
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: s.DataSource.APIGroup, Kind: s.DataSource.Kind, Name: s.DataSource.Name}
	case s.DataSourceRef != nil && s.DataSource == nil && !foreign():
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: s.DataSourceRef.APIGroup, Kind: s.DataSourceRef.Kind, Name: s.DataSourceRef.Name}
	}
}

func elderSource(ref *corev1.TypedLocalObjectReference) bool {
	if ref == nil {
		return false
	}
	switch derefOr(ref.APIGroup, "") {
	case "":
		return ref.Kind == "PersistentVolumeClaim"
	case "snapshot.storage.k8s.io":
		return ref.Kind == "VolumeSnapshot"
	}
	return false
}

var claimColumns = []Column[*corev1.PersistentVolumeClaim]{
	nameColumn[*corev1.PersistentVolumeClaim](),
	column("Status", corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()["phase"], func(c *corev1.PersistentVolumeClaim) any {
		if c.DeletionTimestamp != nil {
			return "Terminating"
		}
		return string(c.Status.Phase)
	}),
	column("Volume", corev1.PersistentVolumeClaimSpec{}.SwaggerDoc()["volumeName"],
		func(c *corev1.PersistentVolumeClaim) any { return c.Spec.VolumeName }),
	column("Capacity", corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()["capacity"], func(c *corev1.PersistentVolumeClaim) any {
		if c.Spec.VolumeName == "" {
			return ""
		}
		return storage(c.Status.Capacity)
	}),
	column("Access Modes", corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()["accessModes"], func(c *corev1.PersistentVolumeClaim) any {
		if c.Spec.VolumeName == "" {
			return ""
		}
		return accessModes(c.Status.AccessModes)
	}),
	column("StorageClass", "StorageClass of the pvc", func(c *corev1.PersistentVolumeClaim) any { return ClaimClass(c) }),
	column("VolumeAttributesClass", "VolumeAttributesClass of the pvc",
		func(c *corev1.PersistentVolumeClaim) any { return derefOr(c.Spec.VolumeAttributesClassName, "<unset>") }),
	ageColumn[*corev1.PersistentVolumeClaim](),
	wideColumn("VolumeMode", corev1.PersistentVolumeClaimSpec{}.SwaggerDoc()["volumeMode"],
		func(c *corev1.PersistentVolumeClaim) any { return string(derefOr(c.Spec.VolumeMode, "<unset>")) }),
}

// ClaimClass returns the name of the storage class that a claim asks for, ""
// for none. The annotation is older than the field and still goes before it.
func ClaimClass(c *corev1.PersistentVolumeClaim) string {
	if class, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	return derefOr(c.Spec.StorageClassName, "")
}

// warnClaim is silent about changes of the status, which no write to the object
// makes.
func warnClaim(c, old *corev1.PersistentVolumeClaim) []string {
	var w warnings
	if old != nil && !equality.Semantic.DeepEqual(c.Status, old.Status) {
		return nil
	}
	if _, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		w.add("%s: %s", field.NewPath("metadata", "annotations").Key(corev1.BetaStorageClassAnnotation),
			`deprecated since v1.8; use "storageClassName" attribute instead`)
	}
	w.claim(field.NewPath("spec"), &c.Spec)
	return w.all
}

// claim warns of sizes that are no whole number of bytes.
func (w *warnings) claim(at *field.Path, s *corev1.PersistentVolumeClaimSpec) {
	w.fractions(at.Child("resources", "requests"), s.Resources.Requests, corev1.ResourceStorage)
	w.fractions(at.Child("resources", "limits"), s.Resources.Limits, corev1.ResourceStorage)
}
