package apiserver

import (
	"cmp"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
)

// restrictNode keeps requests of nodes to the node's own objects. body is what is
// written, or what a subresource takes; name is the object's.
func (s *Server) restrictNode(c *call, op admissionv1.Operation, body, old runtime.Object, name string) error {
	if _, isNode := c.user.Node(); !isNode {
		return nil
	}
	return admission.NodeRestriction(s.View(), &admission.NodeRequest{
		User: c.user, Operation: op, Resource: c.info.GVR, Subresource: c.target.subresource,
		Namespace: c.target.namespace, Name: cmp.Or(c.target.name, name), Object: body, Old: old,
	}, func(a authz.Attributes) bool { return s.permit(a) == nil })
}

// restrictNodeWrite is restrictNode for a create, where old is nil, or an update.
func (s *Server) restrictNodeWrite(c *call, obj, old resource.Object) error {
	if old == nil {
		return s.restrictNode(c, admissionv1.Create, obj, nil, obj.GetName())
	}
	return s.restrictNode(c, admissionv1.Update, obj, old, old.GetName())
}
