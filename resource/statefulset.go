package resource

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// StatefulSets is the kind StatefulSet.
var StatefulSets = Define(Kind[*appsv1.StatefulSet]{
	Group: "apps", Version: "v1", Kind: "StatefulSet", Resource: "statefulsets", Short: []string{"sts"},
	Categories: []string{"all"}, Namespaced: true,
	Name:    validation.NameIsDNSLabel,
	Default: defaultStatefulSet,
	Restore: func(s *appsv1.StatefulSet) {
		for i := range s.Spec.VolumeClaimTemplates {
			s.Spec.VolumeClaimTemplates[i].TypeMeta = claimType
		}
	},
	Prepare:  prepareStatefulSet,
	Validate: validateStatefulSet,
	Warn:     warnStatefulSet,
	Columns:  statefulSetColumns,
	Spec:     func(s *appsv1.StatefulSet) any { return &s.Spec },
	Status:   func(to, from *appsv1.StatefulSet) { to.Status = from.Status },
	Scale: &Scale[*appsv1.StatefulSet]{
		Spec:     func(s *appsv1.StatefulSet) int32 { return replicas(s.Spec.Replicas) },
		SetSpec:  func(s *appsv1.StatefulSet, n int32) { s.Spec.Replicas = &n },
		Status:   func(s *appsv1.StatefulSet) int32 { return s.Status.Replicas },
		Selector: func(s *appsv1.StatefulSet) string { return selectorText(s.Spec.Selector) },
	},
})

func defaultStatefulSet(s *appsv1.StatefulSet) {
	spec := &s.Spec
	setIfEmpty(&spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	u := &spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		setIfNil(&u.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		setIfNil(&u.RollingUpdate.Partition, 0)
		setIfNil(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	setIfNil(&spec.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	setIfEmpty(&spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setIfEmpty(&spec.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setIfNil(&spec.Replicas, 1)
	setIfNil(&spec.RevisionHistoryLimit, 10)
	defaultPodSpec(&spec.Template.Spec)
	for i := range spec.VolumeClaimTemplates {
		defaultClaimTemplate(&spec.VolumeClaimTemplates[i])
	}
}

// claimType is said by claims within a stateful set: they have always done so.
var claimType = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}

func defaultClaimTemplate(c *corev1.PersistentVolumeClaim) {
	c.TypeMeta = claimType
	setIfEmpty(&c.Status.Phase, corev1.ClaimPending)
	setIfNil(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	for _, list := range []corev1.ResourceList{c.Spec.Resources.Limits, c.Spec.Resources.Requests, c.Status.Capacity, c.Status.AllocatedResources} {
		roundUp(list)
	}
}

func prepareStatefulSet(_ Request, s, old *appsv1.StatefulSet) {
	if old == nil {
		s.Status = appsv1.StatefulSetStatus{}
	}
	dropAlphaFields(&s.Spec.Template.Spec)
}

var statefulSetColumns = slices.Concat(
	[]Column[*appsv1.StatefulSet]{
		nameColumn[*appsv1.StatefulSet](),
		column("Ready", "Number of the pod with ready state", func(s *appsv1.StatefulSet) any {
			return fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, replicas(s.Spec.Replicas))
		}),
		ageColumn[*appsv1.StatefulSet](),
	},
	templateColumns(func(s *appsv1.StatefulSet) *corev1.PodSpec { return &s.Spec.Template.Spec }),
)

func validateStatefulSet(req Request, s, old *appsv1.StatefulSet) field.ErrorList {
	if req.Subresource == "status" {
		return validate.StatefulSetStatus(s, old)
	}
	return validate.StatefulSet(s, old)
}

func warnStatefulSet(s, old *appsv1.StatefulSet) []string {
	var w []string
	claims := field.NewPath("spec", "volumeClaimTemplates")
	if old == nil || !equality.Semantic.DeepEqual(s.Spec, old.Spec) {
		w = podWarnings(field.NewPath("spec", "template"), &s.Spec.Template.Spec, &s.Spec.Template.ObjectMeta)
	} else if !equality.Semantic.DeepEqual(s.Status, old.Status) {
		return nil // a write to the status
	}
	for i, c := range s.Spec.VolumeClaimTemplates {
		at := claims.Index(i)
		if old != nil {
			at = at.Child("Spec") // as upstream spells it
		}
		w = append(w, fractionalStorage(at.Child("resources"), &c.Spec.Resources)...)
	}
	if n := s.Spec.RevisionHistoryLimit; n != nil && *n < 0 {
		w = append(w, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return w
}

// fractionalStorage warns of sizes that are no whole number of bytes.
func fractionalStorage(at *field.Path, r *corev1.VolumeResourceRequirements) []string {
	var w []string
	for _, list := range []struct {
		name string
		of   corev1.ResourceList
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		if q := list.of[corev1.ResourceStorage]; q.MilliValue()%1000 != 0 {
			w = append(w, fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer", at.Child(list.name).Key("storage"), q.String()))
		}
	}
	return w
}
