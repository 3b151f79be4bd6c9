package matching

import (
	"reflect"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/resource"
)

// Versioned returns an object in the version of the kind.
func Versioned(a *admission.Attributes, kind schema.GroupVersionKind, obj runtime.Object) runtime.Object {
	if version := VersionOf(a, kind); version != nil {
		return version.To(obj.(resource.Object))
	}
	return obj
}

// VersionOf is the version that a request's object has to be turned into, or nil
// where it is of a kind of its own.
func VersionOf(a *admission.Attributes, kind schema.GroupVersionKind) *resource.ServedInfo {
	if !ownKind(a) {
		return nil
	}
	for _, version := range a.Info.Served {
		if version.GVK == kind {
			return version
		}
	}
	return nil
}

// Typed is Versioned with kind and apiVersion set, and nil for none. It shares
// what the object points at.
func Typed(a *admission.Attributes, kind schema.GroupVersionKind, obj runtime.Object) any {
	if obj == nil {
		return nil
	}
	obj = Versioned(a, kind, obj)
	if obj.GetObjectKind().GroupVersionKind() == kind {
		return obj
	}
	whole := reflect.New(reflect.TypeOf(obj).Elem())
	whole.Elem().Set(reflect.ValueOf(obj).Elem())
	typed := whole.Interface().(runtime.Object)
	typed.GetObjectKind().SetGroupVersionKind(kind)
	return typed
}

// Request says what is asked, but for the objects.
func Request(a *admission.Attributes, t *Target) *admissionv1.AdmissionRequest {
	kind, resource := metav1.GroupVersionKind(a.Kind), metav1.GroupVersionResource(a.Resource)
	return &admissionv1.AdmissionRequest{
		Kind: metav1.GroupVersionKind(t.Kind), Resource: metav1.GroupVersionResource(t.Resource), SubResource: a.Subresource,
		RequestKind: &kind, RequestResource: &resource, RequestSubResource: a.Subresource,
		Name: a.Name, Namespace: a.Namespace, Operation: a.Operation, UserInfo: a.User.Info(),
		DryRun: &a.DryRun, Options: runtime.RawExtension{Object: a.Options},
	}
}
