// Package authz decides what a user may do: members of system:masters all, nodes
// what their pods need, everyone what RBAC says in the view.
package authz

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/authn"
)

// Attributes are what a request wants to do. Path is set for requests that are
// not for a resource.
type Attributes struct {
	User        authn.User
	Verb        string
	Group       string
	Version     string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	Path        string
	// Fields is the request's field selector (KEP-4601); only the node authorizer
	// looks at it.
	Fields fields.Requirements
}

// String words the request as upstream's refusals do.
func (a Attributes) String() string {
	if a.Path != "" {
		return fmt.Sprintf("cannot %s path %q", a.Verb, a.Path)
	}
	what := a.Resource
	if a.Subresource != "" {
		what += "/" + a.Subresource
	}
	where := "at the cluster scope"
	if a.Namespace != "" {
		where = fmt.Sprintf("in the namespace %q", a.Namespace)
	}
	return fmt.Sprintf("cannot %s resource %q in API group %q %s", a.Verb, what, a.Group, where)
}

// harmless keeps browsers from taking parts of a message for markup, as upstream.
var harmless = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Forbidden is the refusal of what a says, in upstream's words. The reason may be
// empty.
func (a Attributes) Forbidden(reason string) *apierrors.StatusError {
	message := harmless.Replace(fmt.Sprintf("User %q %s", a.User.Name, a))
	if reason != "" {
		message += ": " + reason
	}
	resource := schema.GroupResource{}
	if a.Path == "" {
		resource = schema.GroupResource{Group: a.Group, Resource: a.Resource}
	}
	return apierrors.NewForbidden(resource, a.Name, fmt.Errorf("%s", message))
}
