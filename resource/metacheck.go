package resource

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Recheck says how the rules of one kind look at the metadata of an update, after
// the rules for all kinds: those for a new object know more of names and
// finalizers.
type Recheck int

// How metadata is looked at again.
const (
	AsUpdate Recheck = iota
	AsNew
	AsNewAndUpdate
	AsUpdateAndNew
	Never // nor on create
)

// CheckMeta reports what is wrong with the metadata of a new object, and of one
// that replaces old where that is not nil. part is the subresource.
func (i *Info) CheckMeta(part string, obj, old Object) field.ErrorList {
	at := field.NewPath("metadata")
	if old == nil {
		if i.Recheck == Never {
			return nil // the kind's own rules decide whether anyone looks: see CheckUnseen
		}
		return i.checkNew(obj, at)
	}
	errs := i.CheckUnseen(obj)
	errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(obj, old, at)...)
	again := i.Recheck
	if part != "" && again != Never {
		again = AsUpdate
	}
	if again == AsNew || again == AsNewAndUpdate {
		errs = append(errs, i.checkNew(obj, at)...)
	}
	if again == AsUpdate || again == AsNewAndUpdate || again == AsUpdateAndNew {
		errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(obj, old, at)...)
		errs = append(errs, i.checkFinalizers(obj, at)...)
	}
	if again == AsUpdateAndNew {
		errs = append(errs, i.checkNew(obj, at)...)
	}
	return errs
}

// CheckUnseen reports what may not be in any object's metadata. New objects are
// held to it only where nothing else is wrong with them.
func (i *Info) CheckUnseen(obj Object) field.ErrorList {
	return validation.ValidateObjectMetaAccessor(obj, i.Namespaced, path.ValidatePathSegmentName, field.NewPath("metadata"))
}

func (i *Info) checkNew(obj Object, at *field.Path) field.ErrorList {
	name := i.Name
	if name == nil {
		name = validation.NameIsDNSSubdomain
	}
	errs := validation.ValidateObjectMetaAccessor(obj, i.Namespaced, name, at)
	return append(errs, i.checkFinalizers(obj, at)...)
}

// checkFinalizers refuses names without a domain, but for the few that are
// Kubernetes' own.
func (i *Info) checkFinalizers(obj Object, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if i.AnyFinalizer {
		return nil
	}
	for n, name := range obj.GetFinalizers() {
		switch {
		case strings.Contains(name, "/"), name == string(corev1.FinalizerKubernetes),
			name == metav1.FinalizerOrphanDependents, name == metav1.FinalizerDeleteDependents:
		default:
			errs = append(errs, field.Invalid(at.Child("finalizers").Index(n), name, "name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return errs
}
