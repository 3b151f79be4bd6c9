package resource

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Deployments is the kind Deployment.
var Deployments = Define(Kind[*appsv1.Deployment]{
	Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments", Short: []string{"deploy"},
	Categories: []string{"all"}, Namespaced: true,
	Warn:     warnDeployment,
	Validate: validateDeployment,
	Default:  defaultDeployment,
	Prepare:  prepareDeployment,
	Columns:  deploymentColumns,
	// Annotations count as asked for: they are copied to the replica sets.
	Spec: func(d *appsv1.Deployment) any {
		return &appsv1.Deployment{Spec: d.Spec, ObjectMeta: metav1.ObjectMeta{Annotations: d.Annotations}}
	},
	Status: func(to, from *appsv1.Deployment) { to.Status = from.Status },
	Reset:  map[string][]string{"": {"status"}, "status": {"spec", "metadata.labels"}},
	Scale: &Scale[*appsv1.Deployment]{
		Spec:     func(d *appsv1.Deployment) int32 { return replicas(d.Spec.Replicas) },
		SetSpec:  func(d *appsv1.Deployment, n int32) { d.Spec.Replicas = &n },
		Status:   func(d *appsv1.Deployment) int32 { return d.Status.Replicas },
		Selector: func(d *appsv1.Deployment) string { return selectorText(d.Spec.Selector) },
	},
})

func defaultDeployment(d *appsv1.Deployment) {
	setIfNil(&d.Spec.Replicas, 1)
	setIfNil(&d.Spec.RevisionHistoryLimit, 10)
	setIfNil(&d.Spec.ProgressDeadlineSeconds, 600)
	strategy := &d.Spec.Strategy
	setIfEmpty(&strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		setIfNil(&strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		setIfNil(&strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setIfNil(&strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	if u := strategy.RollingUpdate; u != nil { // refused with another type, but shown whole
		setIfNil(&u.MaxUnavailable, intstr.FromInt32(0))
		setIfNil(&u.MaxSurge, intstr.FromInt32(0))
	}
	defaultPodSpec(&d.Spec.Template.Spec)
}

func prepareDeployment(req Request, d, old *appsv1.Deployment) {
	switch {
	case old == nil:
		d.Status = appsv1.DeploymentStatus{}
	case req.Subresource == "status":
		d.Labels = old.Labels
	}
	dropAlphaFields(&d.Spec.Template.Spec)
}

var deploymentColumns = slices.Concat(
	[]Column[*appsv1.Deployment]{
		nameColumn[*appsv1.Deployment](),
		column("Ready", "Number of the pod with ready state", func(d *appsv1.Deployment) any {
			return fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, replicas(d.Spec.Replicas))
		}),
		column("Up-to-date", appsv1.DeploymentStatus{}.SwaggerDoc()["updatedReplicas"],
			func(d *appsv1.Deployment) any { return int64(d.Status.UpdatedReplicas) }),
		column("Available", appsv1.DeploymentStatus{}.SwaggerDoc()["availableReplicas"],
			func(d *appsv1.Deployment) any { return int64(d.Status.AvailableReplicas) }),
		ageColumn[*appsv1.Deployment](),
	},
	templateColumns(func(d *appsv1.Deployment) *corev1.PodSpec { return &d.Spec.Template.Spec }),
	[]Column[*appsv1.Deployment]{
		wideColumn("Selector", appsv1.DeploymentSpec{}.SwaggerDoc()["selector"], func(d *appsv1.Deployment) any {
			selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
			if err != nil {
				return "<invalid>"
			}
			return selector.String()
		}),
	},
)

func validateDeployment(req Request, d, old *appsv1.Deployment) field.ErrorList {
	if req.Subresource == "status" {
		return validate.DeploymentStatus(d, old)
	}
	return validate.Deployment(d, old)
}

// warnDeployment is silent where nothing changed but the status.
func warnDeployment(r, old *appsv1.Deployment) []string {
	if old == nil {
		return warnTemplate(r.Name, &r.Spec.Template, nil)
	}
	if equality.Semantic.DeepEqual(r.Spec, old.Spec) {
		return nil
	}
	return warnTemplate(r.Name, &r.Spec.Template, &old.Spec.Template)
}
