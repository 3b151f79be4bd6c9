package validate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PersistentVolumeClaim checks a claim. Of its spec, the size and the volume
// attributes class of a bound claim may change.
func PersistentVolumeClaim(claim, old *corev1.PersistentVolumeClaim) field.ErrorList {
	var p problems
	claimSpec(&p, field.NewPath("spec"), &claim.Spec)
	if old != nil {
		claimUpdate(&p, claim, old)
	}
	return p.list()
}

func claimUpdate(p *problems, claim, old *corev1.PersistentVolumeClaim) {
	now, was := claim.Spec.DeepCopy(), old.Spec.DeepCopy()
	if was.VolumeName == "" { // the volume controller sets it once
		was.VolumeName = now.VolumeName
	}
	classUpdate(p, now, claim, old)
	if claim.Status.Phase == corev1.ClaimBound {
		if now.Resources.Requests != nil {
			now.Resources.Requests[corev1.ResourceStorage] = was.Resources.Requests[corev1.ResourceStorage]
		}
		now.VolumeAttributesClassName = was.VolumeAttributesClassName
	}
	spec := field.NewPath("spec")
	if !equality.Semantic.DeepEqual(now, was) {
		p.forbidden(spec, fmt.Sprintf("spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n%v",
			diff.Diff(plain(was), plain(now))))
	}
	size, had := claim.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	// A failed growth can be taken back, but a volume never shrinks (KEP-1790).
	if size.Cmp(had) < 0 && size.Cmp(old.Status.Capacity[corev1.ResourceStorage]) <= 0 {
		p.forbidden(spec.Child("resources", "requests", "storage"), "field can not be less than status.capacity")
	}
	p.add(Immutable(field.NewPath("volumeMode"), claim.Spec.VolumeMode, old.Spec.VolumeMode)...)
	attributesClassUpdate(p, spec.Child("volumeAttributesClassName"), claim, old)
}

// classUpdate lets the storage class move from the annotation that once was its
// place, and be set where there was none. It takes allowed changes out of now.
func classUpdate(p *problems, now *corev1.PersistentVolumeClaimSpec, claim, old *corev1.PersistentVolumeClaim) {
	const key = corev1.BetaStorageClassAnnotation
	is, isSet := claim.Annotations[key]
	was, wasSet := old.Annotations[key]
	class, had := claim.Spec.StorageClassName, old.Spec.StorageClassName
	if wasSet && had == nil && class != nil && *class == was && (!isSet || is == was) {
		now.StorageClassName = nil
		return
	}
	if is != was {
		p.invalid(field.NewPath("metadata").Child("annotations", key), is, "field is immutable")
	}
	if class != nil && had == nil && (!wasSet || *class == was) {
		now.StorageClassName = nil
	}
}

// attributesClassUpdate keeps a class once it is in effect.
func attributesClassUpdate(p *problems, at *field.Path, claim, old *corev1.PersistentVolumeClaim) {
	name := claim.Spec.VolumeAttributesClassName
	if equality.Semantic.DeepEqual(name, old.Spec.VolumeAttributesClassName) || old.Status.CurrentVolumeAttributesClassName == nil {
		return
	}
	if name == nil {
		p.forbidden(at, "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil")
	} else if *name == "" {
		p.forbidden(at, "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil")
	}
}

// PersistentVolumeClaimStatus checks a claim's status.
func PersistentVolumeClaimStatus(claim *corev1.PersistentVolumeClaim) field.ErrorList {
	var p problems
	at, s := field.NewPath("status"), &claim.Status
	for _, name := range slices.Sorted(maps.Keys(s.Capacity)) {
		basicQuantity(&p, at.Child("capacity").Key(string(name)), s.Capacity, name)
	}
	statuses := []corev1.ClaimResourceStatus{
		corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
		corev1.PersistentVolumeClaimNodeResizePending, corev1.PersistentVolumeClaimNodeResizeInProgress,
		corev1.PersistentVolumeClaimNodeResizeInfeasible,
	}
	path := at.Child("allocatedResourceStatuses")
	for _, name := range slices.Sorted(maps.Keys(s.AllocatedResourceStatuses)) {
		claimResource(&p, path, string(name))
		if status := s.AllocatedResourceStatuses[name]; !slices.Contains(statuses, status) {
			p.add(field.NotSupported(path, name, slices.Sorted(slices.Values(statuses))))
		}
	}
	path = at.Child("allocatedResources")
	for _, name := range slices.Sorted(maps.Keys(s.AllocatedResources)) {
		if claimResource(&p, path, string(name)) && basicQuantity(&p, path.Key(string(name)), s.AllocatedResources, name) {
			quantity(&p, path.Key(string(name)), corev1.ResourceStorage, s.AllocatedResources[name])
		}
	}
	return p.list()
}

// claimResource checks the name of what a claim has of its volume: storage, or
// something that a driver names. It says whether the name is good.
func claimResource(p *problems, at *field.Path, name string) bool {
	if messages := validation.IsQualifiedName(name); len(messages) > 0 {
		p.invalids(at, name, messages)
		return false
	}
	if native(corev1.ResourceName(name)) && name != string(corev1.ResourceStorage) {
		p.add(field.NotSupported(at, name, []corev1.ResourceName{corev1.ResourceStorage}))
		return false
	}
	return true
}

// basicQuantity says whether an amount is not negative.
func basicQuantity(p *problems, at *field.Path, list corev1.ResourceList, name corev1.ResourceName) bool {
	q := list[name]
	if q.Value() < 0 {
		p.invalid(at, q.Value(), "must be a valid resource quantity")
	}
	return q.Value() >= 0
}

// accessModes checks how a volume may be used at once.
func accessModes(p *problems, at *field.Path, modes []corev1.PersistentVolumeAccessMode) {
	supported := []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod}
	onePod, others := false, false
	for _, mode := range modes {
		supportedOnly(p, at, mode, supported...)
		onePod = onePod || mode == corev1.ReadWriteOncePod
		others = others || mode != corev1.ReadWriteOncePod && slices.Contains(supported, mode)
	}
	if onePod && others {
		p.forbidden(at, "may not use ReadWriteOncePod with other access modes")
	}
}

// dataSources checks what a volume shall start with, which is said twice:
// dataSource is the elder field.
func dataSources(p *problems, at *field.Path, s *corev1.PersistentVolumeClaimSpec) {
	source, ref := s.DataSource, s.DataSourceRef
	if source != nil {
		dataSource(p, at.Child("dataSource"), source.APIGroup, source.Kind, source.Name)
	}
	foreign := ref != nil && ref.Namespace != nil && *ref.Namespace != ""
	if ref != nil {
		dataSource(p, at.Child("dataSourceRef"), ref.APIGroup, ref.Kind, ref.Name)
	}
	if foreign {
		p.invalids(at.Child("dataSourceRef", "namespace"), *ref.Namespace, apivalidation.ValidateNamespaceName(*ref.Namespace, false))
	}
	switch {
	case source == nil || ref == nil:
	case foreign:
		p.invalid(at, at.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified")
	case !equality.Semantic.DeepEqual(source.APIGroup, ref.APIGroup) || source.Kind != ref.Kind || source.Name != ref.Name:
		p.invalid(at, at.Child("dataSource"), "must match dataSourceRef")
	}
}

func dataSource(p *problems, at *field.Path, group *string, kind, name string) {
	p.need(at.Child("name"), name)
	p.need(at.Child("kind"), kind)
	switch {
	case group != nil && *group != "":
		dnsSubdomain(p, at.Child("apiGroup"), *group)
	case kind != "PersistentVolumeClaim":
		p.invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
	}
}

// csiDriverName checks a driver's name: a domain, in any case.
func csiDriverName(p *problems, at *field.Path, name string) {
	const longest = 63
	if !p.need(at, name) {
		return
	}
	if len(name) > longest {
		p.add(field.TooLong(at, "", longest))
	}
	p.invalids(at, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))
}

// hasAnnotation says whether an object has an annotation, empty or not.
func hasAnnotation(meta *metav1.ObjectMeta, key string) bool {
	_, ok := meta.Annotations[key]
	return ok
}
