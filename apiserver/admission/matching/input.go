package matching

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/expression"
)

// Allowed decides what a user may do, for expressions that ask.
type Allowed func(*authz.Attributes) authz.Verdict

// Input is what expressions see of a request.
func Input(a *admission.Attributes, t *Target, allowed Allowed) *expression.Input {
	return &expression.Input{
		Object: Typed(a, t.Kind, a.Object), Old: Typed(a, t.Kind, a.Old), Request: Request(a, t),
		Authorizer: asker{allowed}, User: userInfo(a.User), Resource: requested{a},
	}
}

func userInfo(u authn.User) user.Info {
	return &user.DefaultInfo{Name: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra}
}

// asker is the server's authorizer as the library of CEL functions asks it.
type asker struct{ allowed Allowed }

// Authorize implements authorizer.UnconditionalAuthorizer.
func (k asker) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	u := a.GetUser()
	wants := &authz.Attributes{
		User: authn.User{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()}, Verb: a.GetVerb(),
		Group: a.GetAPIGroup(), Version: a.GetAPIVersion(), Resource: a.GetResource(), Subresource: a.GetSubresource(),
		Namespace: a.GetNamespace(), Name: a.GetName(),
	}
	if !a.IsResourceRequest() {
		wants.Path = a.GetPath()
	}
	if selected, err := a.GetFieldSelector(); err == nil {
		wants.Fields = selected
	}
	verdict := k.allowed(wants)
	if verdict.Allowed {
		return authorizer.DecisionAllow, verdict.Reason(), nil
	}
	return authorizer.DecisionNoOpinion, verdict.Reason(), nil
}

// requested is what a request is for, as authorizer.requestResource.
type requested struct{ a *admission.Attributes }

// GetName implements library.Resource.
func (r requested) GetName() string { return r.a.Name }

// GetNamespace implements library.Resource.
func (r requested) GetNamespace() string { return r.a.Namespace }

// GetResource implements library.Resource.
func (r requested) GetResource() schema.GroupVersionResource { return r.a.Resource }

// GetSubresource implements library.Resource.
func (r requested) GetSubresource() string { return r.a.Subresource }
