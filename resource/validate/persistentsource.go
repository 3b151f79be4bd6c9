package validate

import (
	"path"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// persistentKinds are the sources of persistent volumes, in the order in which
// the API looks at them. name is the volume's.
func persistentKinds(spec *field.Path, s *corev1.PersistentVolumeSpec, name string) []volumeKind {
	kinds := []volumeKind{
		{name: "hostPath", set: s.HostPath != nil, check: func(p *problems, at *field.Path) { hostPath(p, at, s.HostPath) }},
		{name: "gcePersistentDisk", set: s.GCEPersistentDisk != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("pdName"), s.GCEPersistentDisk.PDName)
			partition(p, at, s.GCEPersistentDisk.Partition)
		}},
		{name: "awsElasticBlockStore", set: s.AWSElasticBlockStore != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("volumeID"), s.AWSElasticBlockStore.VolumeID)
			partition(p, at, s.AWSElasticBlockStore.Partition)
		}},
		{name: "glusterfs", set: s.Glusterfs != nil, check: func(p *problems, at *field.Path) { glusterfs(p, at, s.Glusterfs) }},
		{name: "flocker", set: s.Flocker != nil, check: func(p *problems, at *field.Path) { flocker(p, at, s.Flocker) }},
		{name: "nfs", set: s.NFS != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("server"), s.NFS.Server)
			p.need(at.Child("path"), s.NFS.Path)
			if !path.IsAbs(s.NFS.Path) {
				p.invalid(at.Child("path"), s.NFS.Path, "must be an absolute path")
			}
		}},
		{name: "rbd", set: s.RBD != nil, check: func(p *problems, at *field.Path) {
			needSome(p, at.Child("monitors"), s.RBD.CephMonitors)
			p.need(at.Child("image"), s.RBD.RBDImage)
		}},
		{name: "quobyte", set: s.Quobyte != nil, check: func(p *problems, at *field.Path) { quobyte(p, at, s.Quobyte) }},
		{name: "cephfs", set: s.CephFS != nil, check: func(p *problems, at *field.Path) { needSome(p, at.Child("monitors"), s.CephFS.Monitors) }},
		{name: "iscsi", set: s.ISCSI != nil, check: func(p *problems, at *field.Path) { persistentISCSI(p, at, s.ISCSI, name) }},
		{name: "cinder", set: s.Cinder != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("volumeID"), s.Cinder.VolumeID)
			if ref := s.Cinder.SecretRef; ref != nil {
				p.need(at.Child("secretRef", "name"), ref.Name)
				p.need(at.Child("secretRef", "namespace"), ref.Namespace)
			}
		}},
		{name: "fc", set: s.FC != nil, check: func(p *problems, at *field.Path) { fibreChannel(p, at, s.FC) }},
		{name: "flexVolume", set: s.FlexVolume != nil, joins: true, check: func(p *problems, at *field.Path) { flexVolume(p, at, s.FlexVolume.Driver, s.FlexVolume.Options) }},
	}
	return append(kinds, furtherPersistentKinds(spec, s)...)
}

func furtherPersistentKinds(spec *field.Path, s *corev1.PersistentVolumeSpec) []volumeKind {
	return []volumeKind{
		{name: "azureFile", set: s.AzureFile != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("secretName"), s.AzureFile.SecretName)
			p.need(at.Child("shareName"), s.AzureFile.ShareName)
			if s.AzureFile.SecretNamespace != nil {
				p.need(at.Child("secretNamespace"), *s.AzureFile.SecretNamespace)
			}
		}},
		{name: "vsphereVolume", set: s.VsphereVolume != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("volumePath"), s.VsphereVolume.VolumePath)
		}},
		{name: "photonPersistentDisk", set: s.PhotonPersistentDisk != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("pdID"), s.PhotonPersistentDisk.PdID)
		}},
		{name: "portworxVolume", set: s.PortworxVolume != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("volumeID"), s.PortworxVolume.VolumeID)
		}},
		{name: "azureDisk", set: s.AzureDisk != nil, check: func(p *problems, at *field.Path) {
			azureDisk(p, at, s.AzureDisk)
		}},
		{name: "scaleIO", set: s.ScaleIO != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("gateway"), s.ScaleIO.Gateway)
			p.need(at.Child("system"), s.ScaleIO.System)
			p.need(at.Child("volumeName"), s.ScaleIO.VolumeName)
		}},
		{name: "local", set: s.Local != nil, check: func(p *problems, at *field.Path) {
			if p.need(at.Child("path"), s.Local.Path) {
				noBacksteps(p, at.Child("path"), s.Local.Path)
			}
			if s.NodeAffinity == nil {
				p.required(spec.Child("nodeAffinity"), "Local volume requires node affinity")
			}
		}},
		{name: "storageos", set: s.StorageOS != nil, check: func(p *problems, at *field.Path) { storageOS(p, at, s.StorageOS) }},
		{name: "csi", set: s.CSI != nil, check: func(p *problems, at *field.Path) { persistentCSI(p, at, s.CSI) }},
	}
}

func needSome(p *problems, at *field.Path, list []string) {
	if len(list) == 0 {
		p.required(at, "")
	}
}

func glusterfs(p *problems, at *field.Path, s *corev1.GlusterfsPersistentVolumeSource) {
	p.need(at.Child("endpoints"), s.EndpointsName)
	p.need(at.Child("path"), s.Path)
	switch namespace, path := s.EndpointsNamespace, at.Child("endpointsNamespace"); {
	case namespace == nil:
	case *namespace == "":
		p.invalid(path, *namespace, "if the endpointnamespace is set, it must be a valid namespace name")
	default:
		p.invalids(path, *namespace, apivalidation.ValidateNamespaceName(*namespace, false))
	}
}

func storageOSVolume(p *problems, at *field.Path, name, namespace string) {
	if p.need(at.Child("volumeName"), name) {
		dnsLabel(p, at.Child("volumeName"), name)
	}
	if namespace != "" {
		dnsLabel(p, at.Child("volumeNamespace"), namespace)
	}
}

func storageOS(p *problems, at *field.Path, s *corev1.StorageOSPersistentVolumeSource) {
	storageOSVolume(p, at, s.VolumeName, s.VolumeNamespace)
	if ref := s.SecretRef; ref != nil {
		p.need(at.Child("secretRef", "name"), ref.Name)
		p.need(at.Child("secretRef", "namespace"), ref.Namespace)
	}
}

func persistentCSI(p *problems, at *field.Path, s *corev1.CSIPersistentVolumeSource) {
	csiDriverName(p, at.Child("driver"), s.Driver)
	p.need(at.Child("volumeHandle"), s.VolumeHandle)
	secretReference(p, at.Child("controllerPublishSecretRef"), s.ControllerPublishSecretRef)
	secretReference(p, at.Child("controllerExpandSecretRef"), s.ControllerExpandSecretRef)
	secretReference(p, at.Child("nodePublishSecretRef"), s.NodePublishSecretRef)
	secretReference(p, at.Child("nodeExpandSecretRef"), s.NodeExpandSecretRef)
}

func secretReference(p *problems, at *field.Path, ref *corev1.SecretReference) {
	if ref == nil {
		return
	}
	if p.need(at.Child("name"), ref.Name) {
		dnsSubdomain(p, at.Child("name"), ref.Name)
	}
	if p.need(at.Child("namespace"), ref.Namespace) {
		dnsLabel(p, at.Child("namespace"), ref.Namespace)
	}
}

// initiators are the forms of an iSCSI name (RFC 3720), by their prefix.
var initiators = map[string]*regexp.Regexp{
	"iqn": regexp.MustCompile(`iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`),
	"eui": regexp.MustCompile(`^eui.[[:alnum:]]{16}$`),
	"naa": regexp.MustCompile(`^naa.[[:alnum:]]{32}$`),
}

// initiator checks a name; of another form than these it is reported as unknown.
func initiator(p *problems, at *field.Path, name, unknown string) {
	form, ok := initiators[name[:min(3, len(name))]]
	switch {
	case !ok:
		p.invalid(at, name, unknown)
	case !form.MatchString(name):
		p.invalid(at, name, "must be valid format")
	}
}

func persistentISCSI(p *problems, at *field.Path, s *corev1.ISCSIPersistentVolumeSource, name string) {
	const longest = 64
	p.need(at.Child("targetPortal"), s.TargetPortal)
	if s.InitiatorName != nil && len(name)+len(":")+len(s.TargetPortal) > longest {
		p.invalid(at.Child("targetportal"), s.TargetPortal,
			"Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.")
	}
	if p.need(at.Child("iqn"), s.IQN) {
		initiator(p, at.Child("iqn"), s.IQN, "must be valid format")
	}
	if s.Lun < 0 || s.Lun > 255 {
		p.invalid(at.Child("lun"), s.Lun, validation.InclusiveRangeError(0, 255))
	}
	switch {
	case s.SecretRef != nil:
		p.need(at.Child("secretRef", "name"), s.SecretRef.Name)
	case s.DiscoveryCHAPAuth || s.SessionCHAPAuth:
		p.required(at.Child("secretRef"), "")
	}
	if s.InitiatorName != nil {
		initiator(p, at.Child("initiatorname"), *s.InitiatorName, "must be valid format")
	}
}
