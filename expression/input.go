package expression

import (
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/library"
)

// Input is what expressions about admission may know of a request.
type Input struct {
	// Object and Old are typed objects in the version that is asked about, with
	// kind and apiVersion; nil for none. Params configures a policy.
	Object, Old, Params any
	// Request says the rest; its objects stay empty.
	Request *admissionv1.AdmissionRequest
	// Namespace is that of the object; nil for none.
	Namespace *corev1.Namespace
	// Authorizer says what User may do. Resource is what the request is for.
	Authorizer authorizer.UnconditionalAuthorizer
	User       user.Info
	Resource   library.Resource
}

func (in *Input) activation() activation {
	a := activation{
		"object": value(in.Object), "oldObject": value(in.Old), "params": value(in.Params),
		"request": common.SchemalessTypedToVal(in.Request), "namespaceObject": common.SchemalessTypedToVal(shown(in.Namespace)),
	}
	if in.Authorizer != nil {
		a["authorizer"] = library.NewAuthorizerVal(in.User, in.Authorizer)
		a["authorizer.requestResource"] = library.NewResourceAuthorizerVal(in.User, in.Authorizer, in.Resource)
	}
	return a
}

// value is null for what is not there.
func value(obj any) any {
	if obj == nil {
		return nil
	}
	return common.SchemalessTypedToVal(obj)
}

// shown is what expressions may know of a namespace.
func shown(n *corev1.Namespace) *corev1.Namespace {
	if n == nil {
		return nil
	}
	return &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, GenerateName: n.GenerateName, UID: n.UID, ResourceVersion: n.ResourceVersion, Generation: n.Generation,
			CreationTimestamp: n.CreationTimestamp, DeletionTimestamp: n.DeletionTimestamp,
			DeletionGracePeriodSeconds: n.DeletionGracePeriodSeconds,
			Labels:                     n.Labels, Annotations: n.Annotations, Finalizers: n.Finalizers,
		},
		Spec: n.Spec, Status: n.Status,
	}
}
