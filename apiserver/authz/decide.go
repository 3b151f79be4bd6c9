package authz

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"github.com/skiff-sh/skiff/apiserver/authn"
)

// Verdict is a decision. Its reason is worded only when someone asks.
type Verdict struct {
	Allowed bool
	by      *grant   // what permits it, if RBAC does
	against []string // why not
}

// Reason says why, in upstream's words; it may be empty.
func (d Verdict) Reason() string {
	if d.by != nil {
		return "RBAC: allowed by " + d.by.source.String()
	}
	return strings.Join(d.against, "\n")
}

// Allowed tells whether RBAC lets the user do what a says.
func (p *Policy) Allowed(a *Attributes) Verdict {
	if g := p.cluster.find(a); g != nil {
		return Verdict{Allowed: true, by: g}
	}
	if a.Namespace != "" {
		if local, ok := p.local[a.Namespace]; ok {
			if g := local.find(a); g != nil {
				return Verdict{Allowed: true, by: g}
			}
		}
	}
	_, err := p.Rules(a.User, a.Namespace)
	if err == nil {
		return Verdict{}
	}
	return Verdict{against: []string{"RBAC: " + err.Error()}}
}

// find returns the grant that permits what a says, or nil.
func (g grants) find(a *Attributes) *grant {
	if found := firstAllowing(g.users[a.User.Name], a); found != nil {
		return found
	}
	for _, group := range a.User.Groups {
		if found := firstAllowing(g.groups[group], a); found != nil {
			return found
		}
	}
	return nil
}

func firstAllowing(given []grant, a *Attributes) *grant {
	for i := range given {
		if given[i].role.allows(a) {
			return &given[i]
		}
	}
	return nil
}

// Rules returns all rules that apply to a user in a namespace ("" for the
// cluster's alone). The error tells of roles that are missing; the rules are
// those that are there.
func (p *Policy) Rules(user authn.User, namespace string) ([]rbacv1.PolicyRule, error) {
	c := collector{seen: map[binding]bool{}}
	c.add(p.cluster, user)
	if namespace != "" {
		c.add(p.local[namespace], user)
	}
	return c.rules, utilerrors.NewAggregate(c.errs)
}

// binding tells bindings apart: one may reach a user by several subjects and
// counts once.
type binding struct{ namespace, name string }

type collector struct {
	seen  map[binding]bool
	rules []rbacv1.PolicyRule
	errs  []error
}

func (c *collector) add(g grants, user authn.User) {
	all := slices.Clone(g.users[user.Name])
	for _, group := range user.Groups {
		all = append(all, g.groups[group]...)
	}
	slices.SortStableFunc(all, func(a, b grant) int { return strings.Compare(a.source.name, b.source.name) })
	for _, one := range all {
		key := binding{one.source.namespace, one.source.name}
		if c.seen[key] {
			continue
		}
		c.seen[key] = true
		c.rules = append(c.rules, one.role.rules...)
		if one.problem != nil {
			c.errs = append(c.errs, one.problem)
		}
	}
}
