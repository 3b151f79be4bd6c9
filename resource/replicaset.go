package resource

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ReplicaSets is the kind ReplicaSet.
var ReplicaSets = Define(Kind[*appsv1.ReplicaSet]{
	Group: "apps", Version: "v1", Kind: "ReplicaSet", Resource: "replicasets", Short: []string{"rs"},
	Categories: []string{"all"}, Namespaced: true,
	Warn:     warnReplicaSet,
	Validate: validateReplicaSet,
	Default:  defaultReplicaSet,
	Prepare:  prepareReplicaSet,
	Columns:  replicaSetColumns,
	Spec:     func(r *appsv1.ReplicaSet) any { return &r.Spec },
	Status:   func(to, from *appsv1.ReplicaSet) { to.Status = from.Status },
	Scale: &Scale[*appsv1.ReplicaSet]{
		Spec:     func(r *appsv1.ReplicaSet) int32 { return replicas(r.Spec.Replicas) },
		SetSpec:  func(r *appsv1.ReplicaSet, n int32) { r.Spec.Replicas = &n },
		Status:   func(r *appsv1.ReplicaSet) int32 { return r.Status.Replicas },
		Selector: func(r *appsv1.ReplicaSet) string { return selectorText(r.Spec.Selector) },
	},
})

// replicas returns a wished count; the default is 1.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// selectorText writes a selector as kubectl and scale clients read it, and ""
// for one that does not parse.
func selectorText(s *metav1.LabelSelector) string {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return ""
	}
	return selector.String()
}

func defaultReplicaSet(r *appsv1.ReplicaSet) {
	setIfNil(&r.Spec.Replicas, 1)
	defaultPodSpec(&r.Spec.Template.Spec)
}

func prepareReplicaSet(_ Request, r, old *appsv1.ReplicaSet) {
	if old == nil {
		r.Status = appsv1.ReplicaSetStatus{}
	}
	dropAlphaFields(&r.Spec.Template.Spec)
}

var replicaSetColumns = slices.Concat(
	[]Column[*appsv1.ReplicaSet]{
		nameColumn[*appsv1.ReplicaSet](),
		integer(column("Desired", appsv1.ReplicaSetSpec{}.SwaggerDoc()["replicas"],
			func(r *appsv1.ReplicaSet) any { return int64(replicas(r.Spec.Replicas)) })),
		integer(column("Current", appsv1.ReplicaSetStatus{}.SwaggerDoc()["replicas"],
			func(r *appsv1.ReplicaSet) any { return int64(r.Status.Replicas) })),
		integer(column("Ready", appsv1.ReplicaSetStatus{}.SwaggerDoc()["readyReplicas"],
			func(r *appsv1.ReplicaSet) any { return int64(r.Status.ReadyReplicas) })),
		ageColumn[*appsv1.ReplicaSet](),
	},
	templateColumns(func(r *appsv1.ReplicaSet) *corev1.PodSpec { return &r.Spec.Template.Spec }),
	[]Column[*appsv1.ReplicaSet]{
		wideColumn("Selector", appsv1.ReplicaSetSpec{}.SwaggerDoc()["selector"],
			func(r *appsv1.ReplicaSet) any { return metav1.FormatLabelSelector(r.Spec.Selector) }),
	},
)

func validateReplicaSet(req Request, r, old *appsv1.ReplicaSet) field.ErrorList {
	if req.Subresource == "status" {
		return validate.ReplicaSetStatus(r)
	}
	return validate.ReplicaSet(r, old)
}

// warnReplicaSet is silent where nothing changed but the status.
func warnReplicaSet(r, old *appsv1.ReplicaSet) []string {
	if old == nil {
		return warnTemplate(r.Name, &r.Spec.Template, nil)
	}
	if equality.Semantic.DeepEqual(r.Spec, old.Spec) {
		return nil
	}
	return warnTemplate(r.Name, &r.Spec.Template, &old.Spec.Template)
}
