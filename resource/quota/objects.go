package quota

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
)

func serviceMeasure(name corev1.ResourceName) bool {
	return slices.Contains([]corev1.ResourceName{
		"count/services", corev1.ResourceServices, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers,
	}, name)
}

func serviceUsage(obj resource.Object, _ time.Time) corev1.ResourceList {
	s := obj.(*corev1.Service)
	ports, balancers := 0, 0
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
		ports = len(s.Spec.Ports)
	case corev1.ServiceTypeLoadBalancer:
		balancers, ports = 1, len(s.Spec.Ports)
		if allocate := s.Spec.AllocateLoadBalancerNodePorts; allocate != nil && !*allocate {
			ports = 0
			for _, p := range s.Spec.Ports {
				if p.NodePort != 0 {
					ports++
				}
			}
		}
	}
	return corev1.ResourceList{
		"count/services": count(1), corev1.ResourceServices: count(1),
		corev1.ResourceServicesNodePorts: count(ports), corev1.ResourceServicesLoadBalancers: count(balancers),
	}
}

// ofClass joins the name of a storage class and what is limited of it.
const ofClass = ".storageclass.storage.k8s.io/"

func claimMeasure(name corev1.ResourceName) bool {
	if _, rest, ok := strings.Cut(string(name), ofClass); ok {
		name = corev1.ResourceName(rest)
	} else if name == "count/persistentvolumeclaims" {
		return true
	}
	return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
}

func claimUsage(obj resource.Object, _ time.Time) corev1.ResourceList {
	claim := obj.(*corev1.PersistentVolumeClaim)
	list := corev1.ResourceList{"count/persistentvolumeclaims": count(1), corev1.ResourcePersistentVolumeClaims: count(1)}
	if q, ok := claim.Spec.Resources.Requests[corev1.ResourceStorage]; ok {
		if given, ok := claim.Status.AllocatedResources[corev1.ResourceStorage]; ok && given.Cmp(q) > 0 {
			q = given // an expansion that failed still holds what it took (KEP-1790)
		}
		q = q.DeepCopy()
		q.RoundUp(0)
		list[corev1.ResourceRequestsStorage] = q
	}
	class, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]
	if !ok && claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	if class != "" {
		for _, name := range []corev1.ResourceName{corev1.ResourcePersistentVolumeClaims, corev1.ResourceRequestsStorage} {
			if q, ok := list[name]; ok {
				list[corev1.ResourceName(class+ofClass)+name] = q
			}
		}
	}
	return list
}

func claimInScope(s corev1.ScopedResourceSelectorRequirement, obj resource.Object) bool {
	if s.ScopeName != corev1.ResourceQuotaScopeVolumeAttributesClass {
		return false
	}
	claim := obj.(*corev1.PersistentVolumeClaim)
	var names []string
	for _, name := range []*string{claim.Spec.VolumeAttributesClassName, claim.Status.CurrentVolumeAttributesClassName} {
		if name != nil {
			names = append(names, *name)
		}
	}
	if m := claim.Status.ModifyVolumeStatus; m != nil {
		names = append(names, m.TargetVolumeAttributesClassName)
	}
	return selects(s, names...)
}
