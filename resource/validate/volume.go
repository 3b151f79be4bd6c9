package validate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volumes checks a pod's volumes and returns the good ones by name. The name of
// the pod is "" in templates.
func volumes(p *problems, at *field.Path, list []corev1.Volume, podName string) map[string]*corev1.VolumeSource {
	made := sets.New[string]() // claims that ephemeral volumes will make
	for _, v := range list {
		if podName != "" && v.Ephemeral != nil {
			made.Insert(podName + "-" + v.Name)
		}
	}
	good := map[string]*corev1.VolumeSource{}
	for i := range list {
		v, path := &list[i], at.Index(i)
		before := len(*p)
		volumeSource(p, path, v, podName)
		if p.need(path.Child("name"), v.Name) {
			dnsLabel(p, path.Child("name"), v.Name)
		}
		if _, ok := good[v.Name]; ok {
			p.add(field.Duplicate(path.Child("name"), v.Name))
		}
		if len(*p) == before {
			good[v.Name] = &v.VolumeSource
		}
		if c := v.PersistentVolumeClaim; c != nil && made.Has(c.ClaimName) {
			p.invalid(path.Child("persistentVolumeClaim", "claimName"), c.ClaimName,
				"must not reference a PVC that gets created for an ephemeral volume")
		}
	}
	return good
}

// volumeSource checks that a volume has one source, and this source.
func volumeSource(p *problems, at *field.Path, v *corev1.Volume, podName string) {
	kinds := volumeKinds(v, podName)
	slices.SortFunc(kinds, func(a, b volumeKind) int {
		return slices.Index(volumeOrder, a.name) - slices.Index(volumeOrder, b.name)
	})
	oneSource(p, at, kinds)
}

// oneSource checks that one source is set, and this one.
func oneSource(p *problems, at *field.Path, kinds []volumeKind) {
	found := ""
	for _, k := range kinds {
		switch {
		case !k.set:
		case found != "" && !k.joins:
			p.forbidden(at.Child(nameInRefusal(k.name)), "may not specify more than 1 volume type")
		default:
			found = k.name
			k.check(p, at.Child(nameInDetail(k.name)))
		}
	}
	if found == "" {
		p.required(at, "must specify a volume type")
	}
}

// volumeOrder is the order in which the API looks at sources: the first one
// counts, and all further ones are too many.
var volumeOrder = []string{
	"emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
	"glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
	"flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
	"storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
}

// nameInRefusal and nameInDetail are the field's name as the API spells it in
// its messages, which are not always right but always the same.
func nameInRefusal(name string) string {
	switch name {
	case "cephfs":
		return "cephFS"
	case "downwardAPI":
		return "downwarAPI"
	}
	return name
}

func nameInDetail(name string) string {
	if name == "gcePersistentDisk" {
		return "persistentDisk"
	}
	return name
}

// volumeKind is one of the fields of a volume source.
type volumeKind struct {
	name  string
	set   bool
	check func(*problems, *field.Path)
	// joins is set where a second source is not refused.
	joins bool
}

func volumeKinds(v *corev1.Volume, podName string) []volumeKind {
	local := []volumeKind{
		{name: "emptyDir", set: v.EmptyDir != nil, check: func(p *problems, at *field.Path) {
			if limit := v.EmptyDir.SizeLimit; limit != nil && limit.Sign() < 0 {
				p.forbidden(at.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")
			}
		}},
		{name: "hostPath", set: v.HostPath != nil, check: func(p *problems, at *field.Path) { hostPath(p, at, v.HostPath) }},
		{name: "secret", set: v.Secret != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("secretName"), v.Secret.SecretName)
			fileMode(p, at.Child("defaultMode"), v.Secret.DefaultMode)
			userID(p, at.Child("defaultUser"), v.Secret.DefaultUser)
			keysToPaths(p, at.Child("items"), v.Secret.Items)
		}},
		{name: "persistentVolumeClaim", set: v.PersistentVolumeClaim != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("claimName"), v.PersistentVolumeClaim.ClaimName)
		}},
		{name: "downwardAPI", set: v.DownwardAPI != nil, check: func(p *problems, at *field.Path) {
			fileMode(p, at.Child("defaultMode"), v.DownwardAPI.DefaultMode)
			userID(p, at.Child("defaultUser"), v.DownwardAPI.DefaultUser)
			for i := range v.DownwardAPI.Items {
				downwardFile(p, at, &v.DownwardAPI.Items[i])
			}
		}},
		{name: "configMap", set: v.ConfigMap != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("name"), v.ConfigMap.Name)
			fileMode(p, at.Child("defaultMode"), v.ConfigMap.DefaultMode)
			userID(p, at.Child("defaultUser"), v.ConfigMap.DefaultUser)
			keysToPaths(p, at.Child("items"), v.ConfigMap.Items)
		}},
		{name: "projected", set: v.Projected != nil, check: func(p *problems, at *field.Path) { projected(p, at, v.Projected) }},
		{name: "csi", set: v.CSI != nil, check: func(p *problems, at *field.Path) { csiVolume(p, at, v.CSI) }},
		{name: "ephemeral", set: v.Ephemeral != nil, check: func(p *problems, at *field.Path) { ephemeralVolume(p, at, v, podName) }},
		{name: "image", set: v.Image != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("reference"), v.Image.Reference)
			pullPolicy(p, at.Child("pullPolicy"), v.Image.PullPolicy)
		}},
	}
	return append(local, networkVolumes(v)...)
}

func hostPath(p *problems, at *field.Path, h *corev1.HostPathVolumeSource) {
	if !p.need(at.Child("path"), h.Path) {
		return
	}
	noBacksteps(p, at.Child("path"), h.Path)
	if h.Type != nil {
		supportedOnly(p, at.Child("type"), *h.Type, corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate,
			corev1.HostPathDirectory, corev1.HostPathFileOrCreate, corev1.HostPathFile, corev1.HostPathSocket,
			corev1.HostPathCharDev, corev1.HostPathBlockDev)
	}
}

func csiVolume(p *problems, at *field.Path, c *corev1.CSIVolumeSource) {
	csiDriverName(p, at.Child("driver"), c.Driver)
	if ref := c.NodePublishSecretRef; ref != nil && p.need(at.Child("nodePublishSecretRef", "name"), ref.Name) {
		objectName(p, at.Child("name"), ref.Name)
	}
}

func ephemeralVolume(p *problems, at *field.Path, v *corev1.Volume, podName string) {
	template := v.Ephemeral.VolumeClaimTemplate
	if template == nil {
		p.required(at.Child("volumeClaimTemplate"), "")
	} else {
		path := at.Child("volumeClaimTemplate")
		p.add(apivalidation.ValidateAnnotations(template.Annotations, path.Child("metadata", "annotations"))...)
		p.add(Labels(path.Child("metadata", "labels"), template.Labels)...)
		onlyFields(p, path.Child("metadata"), template.ObjectMeta, "cannot be set", "Annotations", "Labels")
		claimSpec(p, path.Child("spec"), &template.Spec)
	}
	if podName == "" || v.Name == "" {
		return
	}
	claim := podName + "-" + v.Name
	for _, m := range apivalidation.NameIsDNSSubdomain(claim, false) {
		p.invalid(at.Child("name"), v.Name, fmt.Sprintf("PVC name %q: %v", claim, m))
	}
}

// claimSpec checks what a persistent volume claim asks for.
func claimSpec(p *problems, at *field.Path, s *corev1.PersistentVolumeClaimSpec) {
	if len(s.AccessModes) == 0 {
		p.required(at.Child("accessModes"), "at least 1 access mode is required")
	}
	if s.Selector != nil {
		p.add(LabelSelector(at.Child("selector"), s.Selector)...)
	}
	accessModes(p, at.Child("accessModes"), s.AccessModes)
	path := at.Child("resources").Key(string(corev1.ResourceStorage))
	switch size, ok := s.Resources.Requests[corev1.ResourceStorage]; {
	case !ok:
		p.required(path, "")
	case size.Sign() <= 0:
		p.invalid(path, size.String(), "must be greater than zero")
	}
	if s.StorageClassName != nil && *s.StorageClassName != "" {
		objectName(p, at.Child("storageClassName"), *s.StorageClassName)
	}
	if s.VolumeMode != nil {
		supportedOnly(p, at.Child("volumeMode"), *s.VolumeMode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
	}
	dataSources(p, at, s)
	if name := s.VolumeAttributesClassName; name != nil && *name != "" {
		objectName(p, at.Child("volumeAttributesClassName"), *name)
	}
}

func keysToPaths(p *problems, at *field.Path, items []corev1.KeyToPath) {
	for i := range items {
		k, path := &items[i], at.Index(i)
		p.need(path.Child("key"), k.Key)
		p.need(path.Child("path"), k.Path)
		localPath(p, path.Child("path"), k.Path)
		fileMode(p, path.Child("mode"), k.Mode)
		userID(p, path.Child("user"), k.User)
	}
}

func fileMode(p *problems, at *field.Path, mode *int32) {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		p.invalid(at, *mode, "must be a number between 0 and 0777 (octal), both inclusive")
	}
}

func userID(p *problems, at *field.Path, id *int64) {
	if id != nil {
		p.invalids(at, *id, validation.IsValidUserID(*id))
	}
}

func groupID(p *problems, at *field.Path, id *int64) {
	if id != nil {
		p.invalids(at, *id, validation.IsValidGroupID(*id))
	}
}

// localPath checks a path below a volume: relative, without "..", and not with a
// name that starts with "..", as those are the writer's own.
func localPath(p *problems, at *field.Path, value string) {
	descendingPath(p, at, value)
	if strings.HasPrefix(value, "..") && !strings.HasPrefix(value, "../") {
		p.invalid(at, value, "must not start with '..'")
	}
}

func descendingPath(p *problems, at *field.Path, value string) {
	if path.IsAbs(value) {
		p.invalid(at, value, "must be a relative path")
	}
	noBacksteps(p, at, value)
}

func noBacksteps(p *problems, at *field.Path, value string) {
	if slices.Contains(strings.Split(value, "/"), "..") {
		p.invalid(at, value, "must not contain '..'")
	}
}

// podNameOf returns the name of a pod, "" for a template.
func podNameOf(meta *metav1.ObjectMeta) string {
	if meta == nil {
		return ""
	}
	return meta.Name
}
