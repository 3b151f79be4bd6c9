package admission

import (
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
)

// Attributes are what steps may know of a request.
type Attributes struct {
	Operation admissionv1.Operation
	// Info is the kind that the path names; with a subresource, the object's may
	// be another (a Binding of a pod).
	Info        *resource.Info
	Kind        schema.GroupVersionKind // of Object, as the request speaks it
	Resource    schema.GroupVersionResource
	Subresource string
	Namespace   string
	Name        string // "" while a name is still to be generated
	User        authn.User
	DryRun      bool
	Options     runtime.Object // CreateOptions and the like; nil for none
	// Object is what is to be written, or the options of a connection. Mutating
	// steps change it. It is nil for a delete.
	Object runtime.Object
	// Old is the stored object, shared and not to be changed; nil on create.
	Old runtime.Object
	// Warn adds warnings to the answer.
	Warn func(messages ...string)
	// Audit adds a line to the audit record of the request.
	Audit func(key, value string)

	held []func()
}

// hold has release called by Release.
func (a *Attributes) hold(release func()) { a.held = append(a.held, release) }

// Release frees what steps hold for the request. It is called once, when the
// request was refused or the view shows what it wrote.
func (a *Attributes) Release() {
	for _, release := range a.held {
		release()
	}
	a.held = nil
}

// Forbidden refuses the request for a reason. A reason that is a refusal
// already stays as it is.
func (a *Attributes) Forbidden(reason error) error {
	if apierrors.IsForbidden(reason) {
		return reason
	}
	return apierrors.NewForbidden(a.Resource.GroupResource(), a.shownName(), reason)
}

// shownName is the object's name in refusals, or what its name will start with.
func (a *Attributes) shownName() string {
	if a.Name != "" {
		return a.Name
	}
	obj, ok := a.Object.(resource.Object)
	switch {
	case ok && obj.GetName() != "":
		return obj.GetName()
	case ok && obj.GetGenerateName() != "":
		return obj.GetGenerateName()
	}
	return "Unknown"
}

// old returns the stored object, or nil.
func (a *Attributes) old() resource.Object {
	obj, _ := a.Old.(resource.Object)
	return obj
}
