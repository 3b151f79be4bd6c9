package validate

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PersistentVolume checks a volume. Its source stays the same. On update, the
// API has always reported what is wrong with the volume itself twice.
func PersistentVolume(v, old *corev1.PersistentVolume) field.ErrorList {
	var p problems
	volumeSpec(&p, field.NewPath("spec"), &v.Spec, v.Name)
	if !takesMountOptions(&v.Spec) && hasAnnotation(&v.ObjectMeta, corev1.MountOptionAnnotation) {
		p.forbidden(field.NewPath("metadata").Child("annotations", corev1.MountOptionAnnotation), "may not specify mount options for this volume type")
	}
	if old != nil {
		volumeSpec(&p, field.NewPath("spec"), &v.Spec, v.Name)
		volumeUpdate(&p, &v.Spec, &old.Spec)
	}
	return p.list()
}

// takesMountOptions names the sources that once read them from an annotation.
func takesMountOptions(s *corev1.PersistentVolumeSpec) bool {
	return s.GCEPersistentDisk != nil || s.AWSElasticBlockStore != nil || s.Glusterfs != nil || s.NFS != nil ||
		s.RBD != nil || s.Quobyte != nil || s.ISCSI != nil || s.Cinder != nil || s.CephFS != nil ||
		s.AzureFile != nil || s.VsphereVolume != nil || s.AzureDisk != nil || s.PhotonPersistentDisk != nil
}

// volumeSpec checks the spec of the volume of that name.
func volumeSpec(p *problems, at *field.Path, s *corev1.PersistentVolumeSpec, name string) {
	if len(s.AccessModes) == 0 {
		p.required(at.Child("accessModes"), "")
	}
	accessModes(p, at.Child("accessModes"), s.AccessModes)
	capacity(p, at.Child("capacity"), s.Capacity)
	if s.PersistentVolumeReclaimPolicy != "" {
		supportedOnly(p, at.Child("persistentVolumeReclaimPolicy"), s.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimDelete,
			corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)
	}
	switch a := s.NodeAffinity; {
	case a == nil:
	case a.Required == nil:
		p.required(at.Child("nodeAffinity", "required"), "must specify required node constraints")
	default:
		nodeSelector(p, at.Child("nodeAffinity", "required"), a.Required)
	}
	oneSource(p, at, persistentKinds(at, s, name))
	if s.HostPath != nil && path.Clean(s.HostPath.Path) == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		p.forbidden(at.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'")
	}
	if s.StorageClassName != "" {
		objectName(p, at.Child("storageClassName"), s.StorageClassName)
	}
	if s.VolumeMode != nil {
		supportedOnly(p, at.Child("volumeMode"), *s.VolumeMode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
	}
	if class := s.VolumeAttributesClassName; class != nil {
		if *class == "" {
			p.required(at.Child("volumeAttributesClassName"), "an empty string is disallowed")
		} else {
			objectName(p, at.Child("volumeAttributesClassName"), *class)
		}
		if s.CSI == nil {
			p.required(at.Child("csi"), "has to be specified when using volumeAttributesClassName")
		}
	}
}

// capacity is storage and nothing else.
func capacity(p *problems, at *field.Path, list corev1.ResourceList) {
	if len(list) == 0 {
		p.required(at, "")
	}
	if _, ok := list[corev1.ResourceStorage]; !ok || len(list) > 1 {
		p.add(field.NotSupported(at, any(list), []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		path, q := at.Key(string(name)), list[name]
		basicQuantity(p, path, list, name)
		if q.Sign() <= 0 {
			p.invalid(path, q.String(), "must be greater than zero")
		}
	}
}

func volumeUpdate(p *problems, s, old *corev1.PersistentVolumeSpec) {
	now, was := &s.PersistentVolumeSource, &old.PersistentVolumeSource
	if was.CSI != nil && was.CSI.ControllerExpandSecretRef == nil && now.CSI != nil && now.CSI.ControllerExpandSecretRef != nil {
		now = now.DeepCopy() // this may be set once
		now.CSI.ControllerExpandSecretRef = nil
	}
	if !equality.Semantic.DeepEqual(now, was) {
		p.forbidden(field.NewPath("spec", "persistentvolumesource"), fmt.Sprintf("spec.persistentvolumesource is immutable after creation\n%v",
			diff.Diff(plain(was), plain(now))))
	}
	p.add(Immutable(field.NewPath("volumeMode"), s.VolumeMode, old.VolumeMode)...)
	if old.NodeAffinity != nil && !sameAffinity(s.NodeAffinity, old.NodeAffinity) {
		p.invalid(field.NewPath("nodeAffinity"), s.NodeAffinity, "field is immutable, except for updating from beta label to GA")
	}
	if old.VolumeAttributesClassName != nil && s.VolumeAttributesClassName == nil {
		p.forbidden(field.NewPath("spec", "volumeAttributesClassName"), "update from non-nil value to nil is forbidden")
	}
}

// currentLabels are the names that labels of nodes have now.
var currentLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
}

// sameAffinity compares what a volume needs of its node. Labels may have got
// their current names.
func sameAffinity(now, was *corev1.VolumeNodeAffinity) bool {
	return conversion.EqualitiesOrDie(func(now, was corev1.NodeSelectorRequirement) bool {
		if currentLabels[was.Key] == now.Key {
			was.Key = now.Key
		}
		return equality.Semantic.DeepEqual(now, was)
	}).DeepEqual(now, was)
}

// flexVolume checks that a driver's options leave Kubernetes' names alone.
func flexVolume(p *problems, at *field.Path, driver string, options map[string]string) {
	p.need(at.Child("driver"), driver)
	for _, key := range slices.Sorted(maps.Keys(options)) {
		domain, _, _ := strings.Cut(key, "/")
		domain = "." + strings.ToLower(domain)
		if strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io") {
			p.invalid(at.Child("options").Key(key), key, "kubernetes.io and k8s.io namespaces are reserved")
		}
	}
}
