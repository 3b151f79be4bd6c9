package resource

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ControllerRevisions is the kind ControllerRevision: what a controller
// remembers of its object's past.
var ControllerRevisions = Define(Kind[*appsv1.ControllerRevision]{
	Group: "apps", Version: "v1", Kind: "ControllerRevision", Resource: "controllerrevisions", Namespaced: true,
	Validate: func(_ Request, r, old *appsv1.ControllerRevision) field.ErrorList {
		return validate.ControllerRevision(r, old)
	},
	Columns: []Column[*appsv1.ControllerRevision]{
		nameColumn[*appsv1.ControllerRevision](),
		column("Controller", "Controller of the object", func(r *appsv1.ControllerRevision) any { return controllerText(r) }),
		column("Revision", appsv1.ControllerRevision{}.SwaggerDoc()["revision"], func(r *appsv1.ControllerRevision) any { return r.Revision }),
		ageColumn[*appsv1.ControllerRevision](),
	},
})

// controllerText names the controller of an object: "daemonset.apps/x".
func controllerText(o metav1.Object) string {
	ref := metav1.GetControllerOf(o)
	if ref == nil {
		return "<none>"
	}
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	if kind.Empty() {
		return ref.Name
	}
	return strings.ToLower(kind.String()) + "/" + ref.Name
}
