package resource

import (
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// DaemonSets is the kind DaemonSet.
var DaemonSets = Define(Kind[*appsv1.DaemonSet]{
	Group: "apps", Version: "v1", Kind: "DaemonSet", Resource: "daemonsets", Short: []string{"ds"},
	Categories: []string{"all"}, Namespaced: true,
	Default:  defaultDaemonSet,
	Prepare:  prepareDaemonSet,
	Validate: validateDaemonSet,
	Warn:     warnDaemonSet,
	Columns:  daemonSetColumns,
	Spec:     func(d *appsv1.DaemonSet) any { return &d.Spec },
	Status:   func(to, from *appsv1.DaemonSet) { to.Status = from.Status },
})

func defaultDaemonSet(d *appsv1.DaemonSet) {
	u := &d.Spec.UpdateStrategy
	setIfEmpty(&u.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if u.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		setIfNil(&u.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		setIfNil(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setIfNil(&u.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	setIfNil(&d.Spec.RevisionHistoryLimit, 10)
	// Upstream's internal type always has the number, so whoever writes a
	// DaemonSet owns the annotation.
	if _, ok := d.Annotations[appsv1.DeprecatedTemplateGeneration]; !ok {
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, appsv1.DeprecatedTemplateGeneration, "0")
	}
	defaultPodSpec(&d.Spec.Template.Spec)
}

// prepareDaemonSet counts changes of the template in an annotation, which old
// clients know as a field.
func prepareDaemonSet(req Request, d, old *appsv1.DaemonSet) {
	dropAlphaFields(&d.Spec.Template.Spec)
	var generation int64
	switch {
	case old == nil:
		d.Status = appsv1.DaemonSetStatus{}
		generation = max(1, templateGeneration(d))
	case req.Subresource == "status":
		generation = templateGeneration(old)
	default:
		generation = templateGeneration(old)
		if !equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template) {
			generation++
		}
	}
	metav1.SetMetaDataAnnotation(&d.ObjectMeta, appsv1.DeprecatedTemplateGeneration, strconv.FormatInt(generation, 10))
}

// templateGeneration is 0 where there is none, or none that can be read.
func templateGeneration(d *appsv1.DaemonSet) int64 {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

var daemonSetColumns = slices.Concat(
	[]Column[*appsv1.DaemonSet]{
		nameColumn[*appsv1.DaemonSet](),
		daemonCount("Desired", "desiredNumberScheduled", func(s *appsv1.DaemonSetStatus) int32 { return s.DesiredNumberScheduled }),
		daemonCount("Current", "currentNumberScheduled", func(s *appsv1.DaemonSetStatus) int32 { return s.CurrentNumberScheduled }),
		daemonCount("Ready", "numberReady", func(s *appsv1.DaemonSetStatus) int32 { return s.NumberReady }),
		daemonCount("Up-to-date", "updatedNumberScheduled", func(s *appsv1.DaemonSetStatus) int32 { return s.UpdatedNumberScheduled }),
		daemonCount("Available", "numberAvailable", func(s *appsv1.DaemonSetStatus) int32 { return s.NumberAvailable }),
		column("Node Selector", corev1.PodSpec{}.SwaggerDoc()["nodeSelector"],
			func(d *appsv1.DaemonSet) any { return labels.FormatLabels(d.Spec.Template.Spec.NodeSelector) }),
		ageColumn[*appsv1.DaemonSet](),
	},
	templateColumns(func(d *appsv1.DaemonSet) *corev1.PodSpec { return &d.Spec.Template.Spec }),
	[]Column[*appsv1.DaemonSet]{
		wideColumn("Selector", appsv1.DaemonSetSpec{}.SwaggerDoc()["selector"],
			func(d *appsv1.DaemonSet) any { return metav1.FormatLabelSelector(d.Spec.Selector) }),
	},
)

func daemonCount(name, doc string, get func(*appsv1.DaemonSetStatus) int32) Column[*appsv1.DaemonSet] {
	return integer(column(name, appsv1.DaemonSetStatus{}.SwaggerDoc()[doc], func(d *appsv1.DaemonSet) any { return int64(get(&d.Status)) }))
}

func validateDaemonSet(req Request, d, old *appsv1.DaemonSet) field.ErrorList {
	if req.Subresource == "status" {
		return validate.DaemonSetStatus(d, old)
	}
	return validate.DaemonSet(d, old)
}

// warnDaemonSet is silent where the template did not change.
func warnDaemonSet(d, old *appsv1.DaemonSet) []string {
	if old != nil && templateGeneration(d) == templateGeneration(old) {
		return nil
	}
	return podWarnings(field.NewPath("spec", "template"), &d.Spec.Template.Spec, &d.Spec.Template.ObjectMeta)
}
