package persistentvolume

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	kinds "github.com/skiff-sh/skiff/resource"
)

// preResize is the capacity that the file system on a volume still has.
const preResize = "volume.alpha.kubernetes.io/pre-resize-capacity"

// bind writes both sides of a binding, the volume first, so that nobody else
// takes it. The claim is called bound after its volume is.
func bind(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) controller.Plan {
	next, dirty, err := volume.GetBindVolumeToClaim(pv, claim)
	if err != nil {
		return controller.Plan{Err: err}
	}
	var plan controller.Plan
	if dirty {
		plan.Do = append(plan.Do, because("it is for claim "+claim.Namespace+"/"+claim.Name, client.Update(kinds.PersistentVolumes, next)))
	}
	if held := holding(claim, pv.Name); held != nil {
		plan.Do = append(plan.Do, because("it has volume "+pv.Name, client.Update(kinds.PersistentVolumeClaims, held)))
	}
	if len(plan.Do) > 0 || pv.Status.Phase != corev1.VolumeBound {
		return plan
	}
	return status(claim, boundStatus(pv, claim))
}

// holding returns the claim with the volume, or nil where it says so already.
func holding(claim *corev1.PersistentVolumeClaim, name string) *corev1.PersistentVolumeClaim {
	if claim.Spec.VolumeName == name && metav1.HasAnnotation(claim.ObjectMeta, volume.AnnBindCompleted) {
		return nil
	}
	next := claim.DeepCopy()
	if next.Spec.VolumeName != name {
		next.Spec.VolumeName = name
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, volume.AnnBoundByController, "yes")
	}
	if !metav1.HasAnnotation(next.ObjectMeta, volume.AnnBindCompleted) {
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, volume.AnnBindCompleted, "yes")
	}
	return next
}

// boundStatus is the status of a claim with its volume. What it has of the
// volume's capacity is said once: later the resizer says it.
func boundStatus(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) corev1.PersistentVolumeClaimStatus {
	s := *claim.Status.DeepCopy()
	s.Phase, s.AccessModes = corev1.ClaimBound, pv.Spec.AccessModes
	if claim.Status.Phase != corev1.ClaimBound {
		s.Capacity = capacity(pv, s.Capacity)
	}
	if claim.Status.Phase == corev1.ClaimPending {
		s.CurrentVolumeAttributesClassName = pv.Spec.VolumeAttributesClassName
	}
	return s
}

func capacity(pv *corev1.PersistentVolume, was corev1.ResourceList) corev1.ResourceList {
	has := pv.Spec.Capacity[corev1.ResourceStorage]
	if before, ok := pv.Annotations[preResize]; ok {
		if q, err := resource.ParseQuantity(before); err == nil {
			has = q
		}
		next := was.DeepCopy()
		if next == nil {
			next = corev1.ResourceList{}
		}
		next[corev1.ResourceStorage] = has
		return next
	}
	if old, ok := was[corev1.ResourceStorage]; ok && old.Cmp(has) == 0 {
		return was
	}
	return pv.Spec.Capacity
}

// pending leaves a claim without a volume.
func pending(claim *corev1.PersistentVolumeClaim, notes ...controller.Note) controller.Plan {
	plan := status(claim, emptyStatus(claim, corev1.ClaimPending))
	plan.Events = notes
	return plan
}

// lost says once that the volume of a claim is gone.
func lost(claim *corev1.PersistentVolumeClaim, reason, message string) controller.Plan {
	if claim.Status.Phase == corev1.ClaimLost {
		return controller.Plan{}
	}
	plan := status(claim, emptyStatus(claim, corev1.ClaimLost))
	note := warning(claim, reason, "%s", message)
	note.After = 1
	plan.Events = []controller.Note{note}
	return plan
}

func emptyStatus(claim *corev1.PersistentVolumeClaim, phase corev1.PersistentVolumeClaimPhase) corev1.PersistentVolumeClaimStatus {
	s := *claim.Status.DeepCopy()
	s.Phase, s.AccessModes, s.Capacity, s.CurrentVolumeAttributesClassName = phase, nil, nil, nil
	return s
}

func status(claim *corev1.PersistentVolumeClaim, s corev1.PersistentVolumeClaimStatus) controller.Plan {
	if equality.Semantic.DeepEqual(s, claim.Status) {
		return controller.Plan{}
	}
	next := claim.DeepCopy()
	next.Status = s
	return controller.Plan{Do: []client.Op{because("it is "+strings.ToLower(string(s.Phase)), client.UpdateStatus(kinds.PersistentVolumeClaims, next))}}
}

// provision asks the provisioner of the class for a volume, by the annotations
// that it watches.
func provision(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) controller.Plan {
	name := class.Provisioner
	if driver, ok := migrated(name); ok {
		name = driver
	} else if why := builtIn(name); why != "" {
		return told(warning(claim, "ProvisioningFailed", "%s", why))
	}
	note := normal(claim, "ExternalProvisioning", "Waiting for a volume to be created either by the external provisioner '%s' "+
		"or manually by the system administrator. If volume creation is delayed, please verify that "+
		"the provisioner is running and correctly registered.", name)
	if claim.Annotations[volume.AnnStorageProvisioner] == name {
		return told(note)
	}
	next := claim.DeepCopy()
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, volume.AnnBetaStorageProvisioner, name)
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, volume.AnnStorageProvisioner, name)
	note.After = 1
	return controller.Plan{
		Do:     []client.Op{because("its class has this provisioner", client.Update(kinds.PersistentVolumeClaims, next))},
		Events: []controller.Note{note},
	}
}

// builtIn says why there is no provisioner of this name, or "": external ones
// are not known here.
func builtIn(name string) string {
	switch {
	case slices.Contains([]string{"kubernetes.io/host-path", "kubernetes.io/nfs"}, name):
		return "no provisionable volume plugin matched"
	case strings.HasPrefix(name, "kubernetes.io/"):
		return "no volume plugin matched name: " + name
	}
	return ""
}

// migrated returns the CSI driver that took over from a provisioner that was
// once a part of Kubernetes (KEP-625).
func migrated(provisioner string) (driver string, ok bool) {
	switch provisioner {
	case "kubernetes.io/aws-ebs":
		driver = "ebs.csi.aws.com"
	case "kubernetes.io/gce-pd":
		driver = "pd.csi.storage.gke.io"
	case "kubernetes.io/azure-disk":
		driver = "disk.csi.azure.com"
	case "kubernetes.io/azure-file":
		driver = "file.csi.azure.com"
	case "kubernetes.io/cinder":
		driver = "cinder.csi.openstack.org"
	case "kubernetes.io/vsphere-volume":
		driver = "csi.vsphere.vmware.com"
	case "kubernetes.io/portworx-volume":
		driver = "pxd.portworx.com"
	}
	return driver, driver != ""
}
