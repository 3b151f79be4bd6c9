package validate

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// StatefulSet checks a stateful set; old is nil on create. Fields that can never
// change are not checked again on update, so that sets live on that an earlier
// version allowed.
func StatefulSet(s, old *appsv1.StatefulSet) field.ErrorList {
	c := statefulCheck{update: old != nil}
	at := field.NewPath("spec")
	if old == nil {
		c.spec(at, &s.Spec)
		return c.list()
	}
	was := statefulCheck{update: true}
	was.spec(at, &old.Spec)
	c.keepTemplate = len(was.problems) > 0
	c.spec(at, &s.Spec)
	c.add(Immutable(at.Child("selector"), s.Spec.Selector, old.Spec.Selector)...)
	c.add(Immutable(at.Child("volumeClaimTemplates"), s.Spec.VolumeClaimTemplates, old.Spec.VolumeClaimTemplates)...)
	c.add(Immutable(at.Child("serviceName"), s.Spec.ServiceName, old.Spec.ServiceName)...)
	c.add(Immutable(at.Child("podManagementPolicy"), s.Spec.PodManagementPolicy, old.Spec.PodManagementPolicy)...)
	return c.list()
}

type statefulCheck struct {
	problems
	update       bool
	keepTemplate bool // the template was wrong before, and may stay so
}

func (c *statefulCheck) spec(at *field.Path, s *appsv1.StatefulSetSpec) {
	p := &c.problems
	switch s.PodManagementPolicy {
	case "":
		p.required(at.Child("podManagementPolicy"), "")
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	default:
		p.invalid(at.Child("podManagementPolicy"), s.PodManagementPolicy, "must be 'OrderedReady' or 'Parallel'")
	}
	statefulUpdate(p, at.Child("updateStrategy"), &s.UpdateStrategy)
	if policy := s.PersistentVolumeClaimRetentionPolicy; policy != nil {
		path := at.Child("persistentVolumeClaimRetentionPolicy")
		retention(p, path.Child("whenDeleted"), policy.WhenDeleted)
		retention(p, path.Child("whenScaled"), policy.WhenScaled)
	}
	for i := range s.VolumeClaimTemplates {
		if !c.update {
			claimSpec(p, at.Child("volumeClaimTemplates").Index(i).Child("spec"), &s.VolumeClaimTemplates[i].Spec)
		}
	}
	count(p, at.Child("replicas"), s.Replicas)
	notNegative(p, at.Child("minReadySeconds"), s.MinReadySeconds)
	if s.Ordinals != nil {
		notNegative(p, at.Child("ordinals.start"), s.Ordinals.Start)
	}
	if !c.update && s.ServiceName != "" {
		dnsLabel(p, at.Child("serviceName"), s.ServiceName)
	}
	c.template(at, s)
}

func (c *statefulCheck) template(at *field.Path, s *appsv1.StatefulSetSpec) {
	p := &c.problems
	if s.Selector == nil {
		p.required(at.Child("selector"), "")
	} else {
		p.add(LabelSelector(at.Child("selector"), s.Selector)...)
		if len(s.Selector.MatchLabels)+len(s.Selector.MatchExpressions) == 0 {
			p.invalid(at.Child("selector"), s.Selector, "empty selector is invalid for statefulset")
		}
	}
	path := at.Child("template")
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err != nil {
		p.invalid(at.Child("selector"), s.Selector, "")
	} else {
		if !selector.Empty() {
			selects(p, path, selector, &s.Template)
		}
		t := statefulTemplate(s)
		if !c.keepTemplate {
			p.add(PodTemplate(path, t)...)
		}
		p.add(Labels(path.Child("labels"), t.Labels)...)
		p.add(apivalidation.ValidateAnnotations(t.Annotations, path.Child("annotations"))...)
		podAnnotations(p, path.Child("annotations"), t.Annotations, &t.Spec)
	}
	livesOn(p, path, &s.Template, "StatefulSet")
}

// statefulTemplate is the template as its pods will be: the controller sets
// their host name and mounts their claims.
func statefulTemplate(s *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	t := s.Template.DeepCopy()
	t.Spec.Subdomain, t.Spec.Hostname = "", ""
	if len(s.VolumeClaimTemplates) == 0 {
		return t
	}
	var volumes []corev1.Volume
	claimed := map[string]bool{}
	for _, claim := range s.VolumeClaimTemplates {
		if claimed[claim.Name] {
			continue
		}
		claimed[claim.Name] = true
		volumes = append(volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name},
		}})
	}
	for _, v := range t.Spec.Volumes {
		if !claimed[v.Name] {
			volumes = append(volumes, v)
		}
	}
	t.Spec.Volumes = volumes
	return t
}

func retention(p *problems, at *field.Path, policy appsv1.PersistentVolumeClaimRetentionPolicyType) {
	switch policy {
	case appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
	default:
		p.add(field.NotSupported(at, policy, []string{"Retain", "Delete"}))
	}
}

func statefulUpdate(p *problems, at *field.Path, s *appsv1.StatefulSetUpdateStrategy) {
	update := at.Child("rollingUpdate")
	switch {
	case s.Type == "":
		p.required(at, "")
	case s.Type == appsv1.OnDeleteStatefulSetStrategyType:
		if s.RollingUpdate != nil {
			p.invalid(update, s.RollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")
		}
	case s.Type != appsv1.RollingUpdateStatefulSetStrategyType:
		p.invalid(at, s, "must be 'RollingUpdate' or 'OnDelete'")
	case s.RollingUpdate != nil:
		count(p, update.Child("partition"), s.RollingUpdate.Partition)
		if most := s.RollingUpdate.MaxUnavailable; most != nil {
			path := update.Child("maxUnavailable")
			intOrPercent(p, path, *most)
			if number(*most) == 0 {
				p.invalid(path, *most, "cannot be 0")
			}
			atMostAll(p, path, *most)
		}
	}
}

// StatefulSetStatus checks what the controller reports.
func StatefulSetStatus(set, old *appsv1.StatefulSet) field.ErrorList {
	var p problems
	at, s := field.NewPath("status"), &set.Status
	notNegative(&p, at.Child("replicas"), s.Replicas)
	notNegative(&p, at.Child("readyReplicas"), s.ReadyReplicas)
	notNegative(&p, at.Child("currentReplicas"), s.CurrentReplicas)
	notNegative(&p, at.Child("updatedReplicas"), s.UpdatedReplicas)
	notNegative(&p, at.Child("availableReplicas"), s.AvailableReplicas)
	notNegative(&p, at.Child("observedGeneration"), s.ObservedGeneration)
	count(&p, at.Child("collisionCount"), s.CollisionCount)
	for _, n := range []struct {
		name  string
		count int32
	}{
		{"readyReplicas", s.ReadyReplicas}, {"currentReplicas", s.CurrentReplicas},
		{"updatedReplicas", s.UpdatedReplicas}, {"availableReplicas", s.AvailableReplicas},
	} {
		if n.count > s.Replicas {
			p.invalid(at.Child(n.name), n.count, "cannot be greater than status.replicas")
		}
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		p.invalid(at.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than status.readyReplicas")
	}
	collisions(&p, at, s.CollisionCount, old.Status.CollisionCount)
	return p.list()
}

// ControllerRevision checks a revision; old is nil on create. What it records
// never changes.
func ControllerRevision(r, old *appsv1.ControllerRevision) field.ErrorList {
	var p problems
	notNegative(&p, field.NewPath("revision"), r.Revision)
	at := field.NewPath("data")
	if old != nil {
		p.add(Immutable(at, r.Data, old.Data)...)
		return p.list()
	}
	var v any
	if r.Data.Raw == nil {
		p.required(at, "data is mandatory")
	} else if err := json.Unmarshal(r.Data.Raw, &v); err != nil {
		p.invalid(at, "<value omitted>", fmt.Sprintf("error parsing data: %v", err))
	} else if v == nil {
		p.required(at, "data is mandatory")
	} else if _, ok := v.(map[string]any); !ok {
		p.required(at, "data must be a valid JSON object")
	}
	return p.list()
}
