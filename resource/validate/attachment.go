package validate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// VolumeAttachment checks an attachment. Its spec stays the same.
func VolumeAttachment(a, old *storagev1.VolumeAttachment) field.ErrorList {
	var p problems
	at := field.NewPath("spec")
	if old == nil {
		attacher(&p, at.Child("attacher"), a.Spec.Attacher)
	} else {
		csiDriverName(&p, at.Child("attacher"), a.Spec.Attacher)
	}
	attachmentSource(&p, at.Child("source"), &a.Spec.Source)
	objectName(&p, at.Child("nodeName"), a.Spec.NodeName)
	attachmentStatus(&p, field.NewPath("status"), &a.Status)
	if name := a.Spec.Source.PersistentVolumeName; name != nil {
		objectName(&p, field.NewPath("spec.source.persistentVolumeName"), *name)
	}
	if old != nil {
		p.immutable(at, a.Spec, old.Spec)
	}
	return p.list()
}

// attacher is csiDriverName by the rules in the type.
func attacher(p *problems, at *field.Path, name string) {
	const longest = 63
	if !p.needDeclared(at, name) {
		return
	}
	for _, m := range content.IsDNS1123SubdomainCaseless(name) {
		p.declared(field.Invalid(at, name, m))
	}
	if len([]rune(name)) > longest {
		p.declared(field.TooLongCharacters(at, name, longest))
	}
}

func attachmentSource(p *problems, at *field.Path, s *storagev1.VolumeAttachmentSource) {
	const one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
	switch name, inline := s.PersistentVolumeName, s.InlineVolumeSpec; {
	case name == nil && inline == nil:
		p.required(at, one)
	case name != nil && inline != nil:
		p.forbidden(at, one)
	case name != nil && *name == "":
		p.required(at.Child("persistentVolumeName"), "must specify non empty persistentVolumeName")
	case inline != nil:
		inlineVolume(p, at.Child("inlineVolumeSpec"), inline)
	}
}

func attachmentStatus(p *problems, at *field.Path, s *storagev1.VolumeAttachmentStatus) {
	const largest, longest = 256 << 10, 1024 // bytes
	size := 0
	for key, value := range s.AttachmentMetadata {
		size += len(key) + len(value)
	}
	if size > largest {
		p.add(field.TooLong(at.Child("attachmentMetadata"), "", largest))
	}
	report := func(path *field.Path, e *storagev1.VolumeError) {
		if e == nil {
			return
		}
		if len(e.Message) > longest {
			p.add(field.TooLong(path.Child("message"), "", longest))
		}
		if e.ErrorCode != nil && *e.ErrorCode < 0 {
			p.invalid(path.Child("errorCode"), *e.ErrorCode, validation.InclusiveRangeError(0, math.MaxInt32))
		}
	}
	report(at.Child("attachError"), s.AttachError)
	report(at.Child("detachError"), s.DetachError)
}

// CSIDriver checks a driver.
func CSIDriver(d, old *storagev1.CSIDriver) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &d.Spec
	supported := func(path *field.Path, value *storagev1.FSGroupPolicy) {
		if value != nil {
			supportedOnly(&p, path, *value, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy, storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy)
		}
	}
	supported(at.Child("fsGroupPolicy"), s.FSGroupPolicy)
	tokenRequests(&p, at.Child("tokenRequests"), s.TokenRequests)
	modes := []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral}
	for _, mode := range s.VolumeLifecycleModes {
		if !slices.Contains(modes, mode) {
			p.add(field.NotSupported(at.Child("volumeLifecycleModes"), mode, modes))
		}
	}
	const shortest = 10 // seconds
	if period := s.NodeAllocatableUpdatePeriodSeconds; period != nil && *period < shortest {
		p.invalid(at.Child("nodeAllocatableUpdatePeriodSeconds"), *period, "must be greater than or equal to 10 seconds")
	}
	if s.ServiceAccountTokenInSecrets != nil && len(s.TokenRequests) == 0 {
		p.invalid(at.Child("serviceAccountTokenInSecrets"), s.ServiceAccountTokenInSecrets, "serviceAccountTokenInSecrets is set but no tokenRequests are specified")
	}
	if old != nil {
		p.add(Immutable(at.Child("attachedRequired"), s.AttachRequired, old.Spec.AttachRequired)...)
		p.add(Immutable(at.Child("volumeLifecycleModes"), s.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes)...)
	}
	return p.list()
}

func tokenRequests(p *problems, at *field.Path, list []storagev1.TokenRequest) {
	const shortest, longest = 600, 1 << 32 // seconds
	seen := sets.New[string]()
	for i, t := range list {
		path := at.Index(i)
		if seen.Has(t.Audience) {
			p.add(field.Duplicate(path.Child("audience"), t.Audience))
			continue
		}
		seen.Insert(t.Audience)
		if t.ExpirationSeconds == nil {
			continue
		}
		if *t.ExpirationSeconds < shortest {
			p.invalid(path.Child("expirationSeconds"), *t.ExpirationSeconds, "may not specify a duration less than 10 minutes")
		}
		if *t.ExpirationSeconds > longest {
			p.invalid(path.Child("expirationSeconds"), *t.ExpirationSeconds, "may not specify a duration larger than 2^32 seconds")
		}
	}
}

// CSINode checks what drivers a node has. Of a driver that stays, only the
// number of volumes may change.
func CSINode(n, old *storagev1.CSINode) field.ErrorList {
	var p problems
	at := field.NewPath("spec", "drivers")
	names := sets.New[string]()
	for i := range n.Spec.Drivers {
		d, path := &n.Spec.Drivers[i], at.Index(i)
		csiNodeDriver(&p, path, d, names)
	}
	if old == nil {
		return p.list()
	}
	for _, was := range old.Spec.Drivers {
		for _, now := range n.Spec.Drivers {
			if now.Name == was.Name {
				now.Allocatable, was.Allocatable = nil, nil
				p.add(Immutable(at, &now, &was)...)
			}
		}
	}
	return p.list()
}

func csiNodeDriver(p *problems, at *field.Path, d *storagev1.CSINodeDriver, names sets.Set[string]) {
	const longest = 256
	csiDriverName(p, at.Child("name"), d.Name)
	p.need(at.Child("nodeID"), d.NodeID)
	if len(d.NodeID) > longest {
		p.invalid(at.Child("nodeID"), d.NodeID, fmt.Sprintf("must be %d characters or less", longest))
	}
	if d.Allocatable != nil && d.Allocatable.Count != nil {
		notNegative(p, at.Child("allocatable", "count"), int64(*d.Allocatable.Count))
	}
	if names.Has(d.Name) {
		p.add(field.Duplicate(at.Child("name"), d.Name))
	}
	names.Insert(d.Name)
	keys := sets.New[string]()
	for _, key := range d.TopologyKeys {
		p.need(at, key)
		if keys.Has(key) {
			p.add(field.Duplicate(at, key))
		}
		keys.Insert(key)
		qualifiedName(p, at, key)
	}
}

// CSIStorageCapacity checks how much storage there is.
func CSIStorageCapacity(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
	var p problems
	p.add(LabelSelector(field.NewPath("nodeTopology"), c.NodeTopology)...)
	objectName(&p, field.NewPath("storageClassName"), c.StorageClassName)
	if c.Capacity != nil && c.Capacity.Sign() < 0 {
		p.invalid(field.NewPath("capacity"), c.Capacity.String(), "must be greater than or equal to 0")
	}
	if old != nil {
		p.add(Immutable(field.NewPath("nodeTopology"), c.NodeTopology, old.NodeTopology)...)
		p.add(Immutable(field.NewPath("storageClassName"), c.StorageClassName, old.StorageClassName)...)
	}
	return p.list()
}

// VolumeAttributesClass checks a class of attributes, which stays the same.
func VolumeAttributesClass(c, old *storagev1.VolumeAttributesClass) field.ErrorList {
	var p problems
	driver, parameters := field.NewPath("driverName"), field.NewPath("parameters")
	if old != nil && c.DriverName != old.DriverName {
		p.forbidden(driver, "updates to driverName are forbidden.")
	}
	if old != nil && !maps.Equal(c.Parameters, old.Parameters) {
		p.forbidden(parameters, "updates to parameters are forbidden.")
	}
	if p.need(driver, c.DriverName) {
		qualifiedName(&p, driver, strings.ToLower(c.DriverName))
	}
	classAttributes(&p, parameters, c.Parameters)
	return p.list()
}

// classAttributes checks the parameters of a class, which its driver reads.
func classAttributes(p *problems, at *field.Path, parameters map[string]string) {
	const most, largest = 512, 256 << 10 // entries, bytes
	if len(parameters) > most {
		p.add(field.TooLong(at, "", most))
		return
	}
	size := 0
	for key, value := range parameters {
		if key == "" {
			p.invalid(at, key, "field can not be empty.")
		}
		size += len(key) + len(value)
	}
	if size > largest {
		p.add(field.TooLong(at, "", largest))
	}
	if len(parameters) == 0 {
		p.required(at, "must contain at least one key/value pair")
	}
}

// inlineVolume checks a volume that is written into an attachment: a CSI volume
// with nothing that a volume of its own would need.
func inlineVolume(p *problems, at *field.Path, s *corev1.PersistentVolumeSpec) {
	const context = " in the context of inline volumes"
	none := "may not be specified" + context
	if s.ClaimRef != nil {
		p.forbidden(at.Child("claimRef"), none)
	}
	if len(s.Capacity) > 0 {
		p.forbidden(at.Child("capacity"), none)
	}
	if s.CSI == nil {
		p.required(at.Child("csi"), "has to be specified"+context)
	}
	if len(s.AccessModes) == 0 {
		p.required(at.Child("accessModes"), "")
	}
	accessModes(p, at.Child("accessModes"), s.AccessModes)
	if policy := s.PersistentVolumeReclaimPolicy; policy != "" && policy != corev1.PersistentVolumeReclaimRetain {
		p.forbidden(at.Child("persistentVolumeReclaimPolicy"), "may only be "+string(corev1.PersistentVolumeReclaimRetain)+context)
	}
	if s.NodeAffinity != nil {
		p.forbidden(at.Child("nodeAffinity"), none)
	}
	oneSource(p, at, persistentKinds(at, s, ""))
	if s.StorageClassName != "" {
		p.forbidden(at.Child("storageClassName"), none)
	}
	if s.VolumeMode != nil && *s.VolumeMode != corev1.PersistentVolumeFilesystem {
		p.forbidden(at.Child("volumeMode"), "may not specify volumeMode other than "+string(corev1.PersistentVolumeFilesystem)+context)
	}
}
