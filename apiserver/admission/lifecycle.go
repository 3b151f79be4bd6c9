package admission

import (
	"errors"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// immortal namespaces cannot be deleted.
var immortal = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic}

// namespaceLifecycle refuses objects in a namespace that does not exist or is
// being deleted, and the deletion of those that every cluster needs. The view
// is never behind what was acknowledged, so no second look is needed.
func namespaceLifecycle() Step {
	return Step{
		Name: "NamespaceLifecycle",
		On: []Match{
			{Operations: []admissionv1.Operation{admissionv1.Delete}, Resource: resource.Namespaces.Info.GR()},
			{Operations: creates},
		},
		Mutate: pure(checkNamespace),
	}
}

func checkNamespace(v *view.View, a *Attributes) error {
	if a.Resource.GroupResource() == resource.Namespaces.Info.GR() {
		if a.Operation == admissionv1.Delete && slices.Contains(immortal, a.Name) {
			return apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, errors.New("this namespace may not be deleted"))
		}
		return nil
	}
	// Saying whether a namespace exists would tell whoever asks for access to it.
	if a.Namespace == "" || a.Resource.Resource == "localsubjectaccessreviews" {
		return nil
	}
	namespace, ok := view.Get(v, resource.Namespaces, "", a.Namespace)
	switch {
	case !ok:
		return apierrors.NewNotFound(resource.Namespaces.Info.GR(), a.Namespace)
	case namespace.Status.Phase != corev1.NamespaceTerminating:
		return nil
	}
	err := a.Forbidden(fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.Namespace))
	if status := (*apierrors.StatusError)(nil); errors.As(err, &status) {
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{
			Type: corev1.NamespaceTerminatingCause, Message: fmt.Sprintf("namespace %s is being terminated", a.Namespace), Field: "metadata.namespace",
		})
	}
	return err
}
