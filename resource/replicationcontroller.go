package resource

import (
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ReplicationControllers is the kind ReplicationController.
var ReplicationControllers = Define(Kind[*corev1.ReplicationController]{
	Version: "v1", Kind: "ReplicationController", Resource: "replicationcontrollers", Short: []string{"rc"},
	Categories: []string{"all"}, Namespaced: true, Prefix: "controllers", Orphans: true,
	Default:  defaultReplicationController,
	Prepare:  prepareReplicationController,
	Validate: validateReplicationController,
	Warn:     warnReplicationController,
	Columns:  replicationControllerColumns,
	Spec:     func(r *corev1.ReplicationController) any { return &r.Spec },
	Status:   func(to, from *corev1.ReplicationController) { to.Status = from.Status },
	Scale: &Scale[*corev1.ReplicationController]{
		Spec:     func(r *corev1.ReplicationController) int32 { return replicas(r.Spec.Replicas) },
		SetSpec:  func(r *corev1.ReplicationController, n int32) { r.Spec.Replicas = &n },
		Status:   func(r *corev1.ReplicationController) int32 { return r.Status.Replicas },
		Selector: func(r *corev1.ReplicationController) string { return labels.SelectorFromSet(r.Spec.Selector).String() },
	},
	Fields: map[string]func(*corev1.ReplicationController) string{
		"status.replicas": func(r *corev1.ReplicationController) string { return strconv.Itoa(int(r.Status.Replicas)) },
	},
})

func defaultReplicationController(r *corev1.ReplicationController) {
	setIfNil(&r.Spec.Replicas, 1)
	if r.Spec.Template == nil {
		return
	}
	if of := r.Spec.Template.Labels; of != nil {
		if len(r.Spec.Selector) == 0 {
			r.Spec.Selector = maps.Clone(of)
		}
		if len(r.Labels) == 0 {
			r.Labels = maps.Clone(of)
		}
	}
	defaultPodSpec(&r.Spec.Template.Spec)
}

func prepareReplicationController(_ Request, r, old *corev1.ReplicationController) {
	if old == nil {
		r.Status = corev1.ReplicationControllerStatus{}
	}
	if r.Spec.Template != nil {
		dropAlphaFields(&r.Spec.Template.Spec)
	}
}

var replicationControllerColumns = slices.Concat(
	[]Column[*corev1.ReplicationController]{
		nameColumn[*corev1.ReplicationController](),
		integer(column("Desired", corev1.ReplicationControllerSpec{}.SwaggerDoc()["replicas"],
			func(r *corev1.ReplicationController) any { return int64(replicas(r.Spec.Replicas)) })),
		integer(column("Current", corev1.ReplicationControllerStatus{}.SwaggerDoc()["replicas"],
			func(r *corev1.ReplicationController) any { return int64(r.Status.Replicas) })),
		integer(column("Ready", corev1.ReplicationControllerStatus{}.SwaggerDoc()["readyReplicas"],
			func(r *corev1.ReplicationController) any { return int64(r.Status.ReadyReplicas) })),
		ageColumn[*corev1.ReplicationController](),
	},
	templateColumns(func(r *corev1.ReplicationController) *corev1.PodSpec {
		if r.Spec.Template == nil {
			return &corev1.PodSpec{}
		}
		return &r.Spec.Template.Spec
	}),
	[]Column[*corev1.ReplicationController]{
		wideColumn("Selector", corev1.ReplicationControllerSpec{}.SwaggerDoc()["selector"],
			func(r *corev1.ReplicationController) any { return labels.FormatLabels(r.Spec.Selector) }),
	},
)

func validateReplicationController(req Request, r, old *corev1.ReplicationController) field.ErrorList {
	if req.Subresource == "status" {
		return validate.ReplicationControllerStatus(r)
	}
	return validate.ReplicationController(r)
}

// warnReplicationController is silent where nothing changed but the status.
func warnReplicationController(r, old *corev1.ReplicationController) []string {
	if r.Spec.Template == nil || old != nil && equality.Semantic.DeepEqual(r.Spec, old.Spec) {
		return nil
	}
	var was *corev1.PodTemplateSpec
	if old != nil {
		was = old.Spec.Template
	}
	return warnTemplate(r.Name, r.Spec.Template, was)
}
