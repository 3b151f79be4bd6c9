package validate

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// networkVolumes are the volume sources that were built into Kubernetes before
// CSI. Their API stays, and with it its rules.
func networkVolumes(v *corev1.Volume) []volumeKind {
	needs := func(name string, set bool, required ...func() (string, string)) volumeKind {
		return volumeKind{name: name, set: set, check: func(p *problems, at *field.Path) {
			for _, f := range required {
				fieldName, value := f()
				p.need(at.Child(fieldName), value)
			}
		}}
	}
	return []volumeKind{
		{name: "gitRepo", set: v.GitRepo != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("repository"), v.GitRepo.Repository)
			localPath(p, at.Child("directory"), v.GitRepo.Directory)
		}},
		{name: "gcePersistentDisk", set: v.GCEPersistentDisk != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("pdName"), v.GCEPersistentDisk.PDName)
			partition(p, at, v.GCEPersistentDisk.Partition)
		}},
		{name: "awsElasticBlockStore", set: v.AWSElasticBlockStore != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("volumeID"), v.AWSElasticBlockStore.VolumeID)
			partition(p, at, v.AWSElasticBlockStore.Partition)
		}},
		{name: "nfs", set: v.NFS != nil, check: func(p *problems, at *field.Path) {
			p.need(at.Child("server"), v.NFS.Server)
			p.need(at.Child("path"), v.NFS.Path)
			if !path.IsAbs(v.NFS.Path) {
				p.invalid(at.Child("path"), v.NFS.Path, "must be an absolute path")
			}
		}},
		{name: "iscsi", set: v.ISCSI != nil, check: func(p *problems, at *field.Path) { iscsi(p, at, v.ISCSI) }},
		needs("glusterfs", v.Glusterfs != nil,
			func() (string, string) { return "endpoints", v.Glusterfs.EndpointsName },
			func() (string, string) { return "path", v.Glusterfs.Path }),
		{name: "flocker", set: v.Flocker != nil, check: func(p *problems, at *field.Path) { flocker(p, at, v.Flocker) }},
		{name: "rbd", set: v.RBD != nil, check: func(p *problems, at *field.Path) {
			if len(v.RBD.CephMonitors) == 0 {
				p.required(at.Child("monitors"), "")
			}
			p.need(at.Child("image"), v.RBD.RBDImage)
		}},
		needs("cinder", v.Cinder != nil, func() (string, string) { return "volumeID", v.Cinder.VolumeID }),
		{name: "cephfs", set: v.CephFS != nil, check: func(p *problems, at *field.Path) {
			if len(v.CephFS.Monitors) == 0 {
				p.required(at.Child("monitors"), "")
			}
		}},
		{name: "quobyte", set: v.Quobyte != nil, check: func(p *problems, at *field.Path) { quobyte(p, at, v.Quobyte) }},
		{name: "fc", set: v.FC != nil, check: func(p *problems, at *field.Path) { fibreChannel(p, at, v.FC) }},
		{name: "flexVolume", set: v.FlexVolume != nil, check: func(p *problems, at *field.Path) {
			flexVolume(p, at, v.FlexVolume.Driver, v.FlexVolume.Options)
		}},
		needs("azureFile", v.AzureFile != nil,
			func() (string, string) { return "secretName", v.AzureFile.SecretName },
			func() (string, string) { return "shareName", v.AzureFile.ShareName }),
		needs("vsphereVolume", v.VsphereVolume != nil, func() (string, string) { return "volumePath", v.VsphereVolume.VolumePath }),
		needs("photonPersistentDisk", v.PhotonPersistentDisk != nil, func() (string, string) { return "pdID", v.PhotonPersistentDisk.PdID }),
		needs("portworxVolume", v.PortworxVolume != nil, func() (string, string) { return "volumeID", v.PortworxVolume.VolumeID }),
		{name: "azureDisk", set: v.AzureDisk != nil, check: func(p *problems, at *field.Path) { azureDisk(p, at, v.AzureDisk) }},
		{name: "storageos", set: v.StorageOS != nil, check: func(p *problems, at *field.Path) {
			storageOSVolume(p, at, v.StorageOS.VolumeName, v.StorageOS.VolumeNamespace)
			if v.StorageOS.SecretRef != nil {
				p.need(at.Child("secretRef", "name"), v.StorageOS.SecretRef.Name)
			}
		}},
		needs("scaleIO", v.ScaleIO != nil,
			func() (string, string) { return "gateway", v.ScaleIO.Gateway },
			func() (string, string) { return "system", v.ScaleIO.System },
			func() (string, string) { return "volumeName", v.ScaleIO.VolumeName }),
	}
}

func partition(p *problems, at *field.Path, number int32) {
	if number < 0 || number > 255 {
		p.invalid(at.Child("partition"), number, validation.InclusiveRangeError(1, 255))
	}
}

func iscsi(p *problems, at *field.Path, s *corev1.ISCSIVolumeSource) {
	p.need(at.Child("targetPortal"), s.TargetPortal)
	if p.need(at.Child("iqn"), s.IQN) {
		initiator(p, at.Child("iqn"), s.IQN, "must be valid format starting with iqn, eui, or naa")
	}
	if s.Lun < 0 || s.Lun > 255 {
		p.invalid(at.Child("lun"), s.Lun, validation.InclusiveRangeError(0, 255))
	}
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		p.required(at.Child("secretRef"), "")
	}
	if s.InitiatorName != nil {
		initiator(p, at.Child("initiatorname"), *s.InitiatorName, "must be valid format starting with iqn, eui, or naa")
	}
}

func azureDisk(p *problems, at *field.Path, s *corev1.AzureDiskVolumeSource) {
	p.need(at.Child("diskName"), s.DiskName)
	p.need(at.Child("diskURI"), s.DataDiskURI)
	if s.CachingMode != nil {
		supportedOnly(p, at.Child("cachingMode"), *s.CachingMode,
			corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)
	}
	if s.Kind == nil {
		return
	}
	supportedOnly(p, at.Child("kind"), *s.Kind, corev1.AzureSharedBlobDisk, corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk)
	prefix, form := "https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
	if *s.Kind == corev1.AzureManagedDisk {
		prefix = "/subscriptions/"
		form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
	}
	if !strings.HasPrefix(s.DataDiskURI, prefix) {
		p.add(field.NotSupported(at.Child("diskURI"), s.DataDiskURI, []string{form}))
	}
}

func flocker(p *problems, at *field.Path, s *corev1.FlockerVolumeSource) {
	switch {
	case s.DatasetName == "" && s.DatasetUUID == "":
		p.required(at, "one of datasetName and datasetUUID is required")
	case s.DatasetName != "" && s.DatasetUUID != "":
		p.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously")
	}
	if strings.Contains(s.DatasetName, "/") {
		p.invalid(at.Child("datasetName"), s.DatasetName, "must not contain '/'")
	}
}

func quobyte(p *problems, at *field.Path, s *corev1.QuobyteVolumeSource) {
	if s.Registry == "" {
		p.required(at.Child("registry"), "must be a host:port pair or multiple pairs separated by commas")
	} else if slices.ContainsFunc(strings.Split(s.Registry, ","), func(pair string) bool {
		host, port, ok := strings.Cut(pair, ":")
		return !ok || host == "" || port == ""
	}) {
		p.invalid(at.Child("registry"), s.Registry, "must be a host:port pair or multiple pairs separated by commas")
	}
	p.need(at.Child("volume"), s.Volume)
}

func fibreChannel(p *problems, at *field.Path, s *corev1.FCVolumeSource) {
	switch {
	case len(s.TargetWWNs) == 0 && len(s.WWIDs) == 0:
		p.required(at.Child("targetWWNs"), "must specify either targetWWNs or wwids, but not both")
	case len(s.TargetWWNs) > 0 && len(s.WWIDs) > 0:
		p.invalid(at.Child("targetWWNs"), s.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously")
	}
	switch {
	case len(s.TargetWWNs) > 0 && s.Lun == nil:
		p.required(at.Child("lun"), "lun is required if targetWWNs is specified")
	case len(s.TargetWWNs) > 0 && (*s.Lun < 0 || *s.Lun > 255):
		p.invalid(at.Child("lun"), s.Lun, validation.InclusiveRangeError(0, 255))
	}
}
