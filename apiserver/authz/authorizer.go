package authz

import (
	"fmt"
	"sync/atomic"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Authorizer decides by a view, and keeps the compiled policy until the view's
// roles or bindings are others. The zero Authorizer is ready; it is safe for any
// number of goroutines.
type Authorizer struct{ compiled atomic.Pointer[compiled] }

type compiled struct {
	view   *view.View
	policy *Policy
}

// policyKinds are what a policy is made of.
var policyKinds = []*resource.Info{
	resource.ClusterRoles.Info, resource.ClusterRoleBindings.Info, resource.Roles.Info, resource.RoleBindings.Info,
}

// Policy returns what the view's roles and bindings say.
func (z *Authorizer) Policy(v *view.View) *Policy {
	have := z.compiled.Load()
	if have != nil && have.view == v {
		return have.policy
	}
	next := &compiled{view: v}
	if have != nil && v.Same(have.view, policyKinds...) {
		next.policy = have.policy
	} else {
		next.policy = Compile(v)
	}
	z.compiled.Store(next)
	return next.policy
}

// Allowed decides as upstream's order of authorizers does: masters, nodes, RBAC.
func (z *Authorizer) Allowed(v *view.View, a *Attributes) Verdict {
	if a.User.In(authn.Masters) {
		return Verdict{Allowed: true}
	}
	node, isNode := a.User.Node()
	if !isNode {
		return z.Policy(v).Allowed(a)
	}
	why := fmt.Sprintf("unknown node for user %q", a.User.Name)
	if node != "" {
		var ok bool
		if ok, why = nodeMay(v, node, a); ok {
			return Verdict{Allowed: true}
		}
	}
	verdict := z.Policy(v).Allowed(a)
	if why != "" {
		verdict.against = append([]string{why}, verdict.against...)
	}
	return verdict
}
