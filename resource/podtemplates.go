package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// PodTemplates is the kind PodTemplate.
var PodTemplates = Define(Kind[*corev1.PodTemplate]{
	Version: "v1", Kind: "PodTemplate", Resource: "podtemplates", Namespaced: true,
	ShowsDeleted: true,
	Default:      func(t *corev1.PodTemplate) { defaultPodSpec(&t.Template.Spec) },
	Prepare:      func(_ Request, t, _ *corev1.PodTemplate) { dropAlphaFields(&t.Template.Spec) },
	Validate: func(_ Request, t, _ *corev1.PodTemplate) field.ErrorList {
		return validate.PodTemplate(field.NewPath("template"), &t.Template)
	},
	Warn:    warnPodTemplate,
	Columns: podTemplateColumns(),
	Spec:    func(t *corev1.PodTemplate) any { return &t.Template },
})

func podTemplateColumns() []Column[*corev1.PodTemplate] {
	columns := []Column[*corev1.PodTemplate]{nameColumn[*corev1.PodTemplate]()}
	for _, c := range templateColumns(func(t *corev1.PodTemplate) *corev1.PodSpec { return &t.Template.Spec }) {
		c.Priority = 0
		columns = append(columns, c)
	}
	return append(columns, column("Pod Labels", "The labels for the pod template.",
		func(t *corev1.PodTemplate) any { return labels.FormatLabels(t.Template.Labels) }))
}

func warnPodTemplate(t, old *corev1.PodTemplate) []string {
	if old != nil && equality.Semantic.DeepEqual(t.Template, old.Template) {
		return nil
	}
	return podWarnings(field.NewPath("template"), &t.Template.Spec, &t.Template.ObjectMeta)
}
