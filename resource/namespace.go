package resource

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Namespaces is the kind Namespace.
var Namespaces = Define(Kind[*corev1.Namespace]{
	Version: "v1", Kind: "Namespace", Resource: "namespaces", Short: []string{"ns"},
	ShowsDeleted: true,
	Recheck:      AsNewAndUpdate,
	Name:         validation.NameIsDNSLabel,
	Validate: func(req Request, n, _ *corev1.Namespace) field.ErrorList {
		return validate.Namespace(n, req.Subresource)
	},
	Default: defaultNamespace,
	Prepare: prepareNamespace,
	Delete:  deleteNamespace,
	Status:  func(to, from *corev1.Namespace) { to.Status = from.Status },
	Reset:   map[string][]string{"": {"status"}, "status": {"spec"}, "finalize": {"status"}},
	Parts: []Part[*corev1.Namespace]{{
		Name: "finalize", Verbs: []string{"update"}, Copy: func(to, from *corev1.Namespace) { to.Spec = from.Spec },
	}},
	Columns: []Column[*corev1.Namespace]{
		nameColumn[*corev1.Namespace](),
		column("Status", "The status of the namespace", func(n *corev1.Namespace) any { return string(n.Status.Phase) }),
		ageColumn[*corev1.Namespace](),
	},
	NotByNamespace: true,
	Fields: map[string]func(*corev1.Namespace) string{
		"status.phase": func(n *corev1.Namespace) string { return string(n.Status.Phase) },
	},
})

// defaultNamespace labels a namespace with its name, so that selectors can name
// it. A name that is still to be generated is labelled when it is known.
func defaultNamespace(n *corev1.Namespace) {
	if n.Name != "" {
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		n.Labels[corev1.LabelMetadataName] = n.Name
	}
	setIfEmpty(&n.Status.Phase, corev1.NamespaceActive)
}

// prepareNamespace puts every new namespace under the care of the namespace
// controller. After that, finalizers change through the subresource "finalize"
// alone.
func prepareNamespace(req Request, n, old *corev1.Namespace) {
	switch {
	case old == nil:
		n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
		if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
			n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
		}
		defaultNamespace(n) // the name may have been generated since
	case req.Subresource == "":
		n.Spec.Finalizers = old.Spec.Finalizers
	}
}

// deleteNamespace keeps a namespace, as terminating, until its finalizers are
// gone.
func deleteNamespace(_ Request, n *corev1.Namespace, _ *metav1.DeleteOptions) DeleteAction {
	if len(n.Spec.Finalizers) == 0 {
		return DeleteAction{}
	}
	return DeleteAction{Keep: true, Update: func(o Object) {
		o.(*corev1.Namespace).Status.Phase = corev1.NamespaceTerminating
	}}
}
