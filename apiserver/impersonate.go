package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
)

// The headers by which a user acts as another.
const (
	asUser  = "Impersonate-User"
	asGroup = "Impersonate-Group"
	asUID   = "Impersonate-Uid"
	asExtra = "Impersonate-Extra-"
)

// impersonate returns whom the request acts as: its own user, or another one
// if it asks for that and may. request is what it wants to do then.
func (s *Server) impersonate(request authz.Attributes, header http.Header) (authn.User, error) {
	wanted, asks := impersonated(header)
	if !asks {
		return request.User, nil
	}
	if wanted.Name == "" {
		return request.User, apierrors.NewBadRequest(fmt.Sprintf("requested %#v without impersonating a user name", wanted))
	}
	forget(header)
	var first error
	for _, mode := range impersonationModes {
		if !mode.fits(wanted, request.User) {
			continue
		}
		err := s.mayImpersonate(mode, wanted, request)
		if err == nil {
			return assumed(mode, wanted), nil
		}
		if first == nil {
			first = err
		}
	}
	return request.User, first
}

// impersonationMode is one way of being allowed to act as another: by the plain
// verb "impersonate", or constrained (KEP-5284): for some users, and for some
// requests made as them.
type impersonationMode struct {
	name string // "" is unconstrained
	fits func(wanted, by authn.User) bool
}

// impersonationModes are tried in this order, as upstream. The first refusal is
// the answer.
var impersonationModes = []impersonationMode{
	{"associated-node", func(wanted, by authn.User) bool {
		node, ok := nodeName(wanted.Name)
		_, _, account := serviceAccountName(by.Name)
		return ok && nameAlone(wanted) && account && slices.Equal(by.Extra[authn.ExtraNodeName], []string{node})
	}},
	{"arbitrary-node", func(wanted, _ authn.User) bool {
		_, ok := nodeName(wanted.Name)
		return ok && nameAlone(wanted)
	}},
	{"serviceaccount", func(wanted, _ authn.User) bool {
		_, _, ok := serviceAccountName(wanted.Name)
		return ok && nameAlone(wanted)
	}},
	{"user-info", func(wanted, _ authn.User) bool {
		_, node := nodeName(wanted.Name)
		_, _, account := serviceAccountName(wanted.Name)
		return !node && !account
	}},
	{"", func(_, _ authn.User) bool { return true }},
}

func nameAlone(u authn.User) bool { return u.UID == "" && len(u.Groups) == 0 && len(u.Extra) == 0 }

// nodeName is the node that a user name stands for.
func nodeName(user string) (string, bool) {
	name, ok := strings.CutPrefix(user, authn.NodePrefix)
	return name, ok && len(validation.NameIsDNSSubdomain(name, false)) == 0
}

// mayImpersonate returns the refusal of the first permission that is missing.
func (s *Server) mayImpersonate(mode impersonationMode, wanted authn.User, request authz.Attributes) error {
	verb := "impersonate"
	if mode.name != "" {
		verb += ":" + mode.name
		on := request
		on.Verb = "impersonate-on:" + mode.name + ":" + request.Verb
		if err := s.permit(associated(mode, on)); err != nil {
			return err
		}
	}
	for _, a := range impersonations(mode, wanted) {
		a.User, a.Verb = request.User, verb
		if mode.name != "" {
			if problem := unfit(a); problem != "" {
				return a.Forbidden(problem)
			}
		}
		if err := s.permit(associated(mode, a)); err != nil {
			return err
		}
	}
	return nil
}

// associated hides which node a service account is on from rules that are about
// all nodes alike.
func associated(mode impersonationMode, a authz.Attributes) authz.Attributes {
	if mode.name == "associated-node" && a.Verb == "impersonate:associated-node" {
		a.Name = "*"
	}
	return a
}

// unfit says why constrained impersonation never allows a part of a user.
func unfit(a authz.Attributes) string {
	switch {
	case a.Resource == "groups" && a.Name == "":
		return "impersonating the empty string group is not allowed"
	case a.Resource == "groups" && a.Name == authn.Masters:
		return "impersonating the system:masters group is not allowed"
	case a.Resource != "userextras":
		return ""
	case a.Subresource == "":
		return "impersonating the empty string key in extra is not allowed"
	case a.Subresource != strings.ToLower(a.Subresource):
		return fmt.Sprintf("impersonating a non-lowercase key in extra is not allowed: %q", a.Subresource)
	case a.Name == "":
		return "impersonating the empty string value in extra is not allowed"
	}
	if err := utilvalidation.IsDomainPrefixedPath(field.NewPath("extra", "key"), a.Subresource).ToAggregate(); err != nil {
		return "impersonating an invalid key in extra is not allowed: " + err.Error()
	}
	return ""
}

// assumed is the user that the wanted one becomes.
func assumed(mode impersonationMode, wanted authn.User) authn.User {
	if namespace, _, ok := serviceAccountName(wanted.Name); ok && len(wanted.Groups) == 0 {
		wanted.Groups = []string{authn.ServiceAccounts, authn.ServiceAccounts + ":" + namespace}
	}
	if _, ok := nodeName(wanted.Name); ok && mode.name != "" {
		wanted.Groups = []string{authn.Nodes}
	}
	group := authn.Authenticated
	if wanted.Name == authn.Anonymous {
		group = authn.Unauthenticated
	} else if wanted.In(authn.Unauthenticated) {
		return wanted
	}
	if !wanted.In(group) {
		wanted.Groups = append(wanted.Groups, group)
	}
	return wanted
}

// impersonated reads the headers.
func impersonated(header http.Header) (user authn.User, asks bool) {
	user = authn.User{Name: header.Get(asUser), Groups: slices.Clone(header.Values(asGroup)), UID: header.Get(asUID)}
	asks = user.Name != "" || len(user.Groups) > 0 || user.UID != ""
	for name, values := range header {
		key, ok := strings.CutPrefix(name, asExtra)
		if !ok {
			continue
		}
		asks = true
		if len(values) == 0 {
			continue
		}
		key = strings.ToLower(key)
		if decoded, err := url.PathUnescape(key); err == nil {
			key = decoded
		}
		if user.Extra == nil {
			user.Extra = map[string][]string{}
		}
		user.Extra[key] = append(user.Extra[key], values...)
	}
	return user, asks
}

// forget removes the headers: nothing behind shall act on them again.
func forget(header http.Header) {
	for name := range header {
		if name == asUser || name == asGroup || name == asUID || strings.HasPrefix(name, asExtra) {
			delete(header, name)
		}
	}
}

// impersonations are the permissions that acting as a user takes. Unconstrained,
// users and groups are in the core group.
func impersonations(mode impersonationMode, wanted authn.User) []authz.Attributes {
	const group = "authentication.k8s.io"
	who := authz.Attributes{Resource: "users", Version: "v1", Name: wanted.Name}
	if mode.name != "" {
		who.Group = group
		if name, ok := nodeName(wanted.Name); ok {
			who.Resource, who.Name = "nodes", name
		}
	}
	if namespace, name, ok := serviceAccountName(wanted.Name); ok {
		who.Resource, who.Namespace, who.Name = "serviceaccounts", namespace, name
	}
	all := []authz.Attributes{who}
	if wanted.UID != "" {
		all = append(all, authz.Attributes{Group: group, Version: "v1", Resource: "uids", Name: wanted.UID})
	}
	for _, g := range wanted.Groups {
		all = append(all, authz.Attributes{Group: who.Group, Version: "v1", Resource: "groups", Name: g})
	}
	for key, values := range wanted.Extra {
		for _, value := range values {
			all = append(all, authz.Attributes{Group: group, Version: "v1", Resource: "userextras", Subresource: key, Name: value})
		}
	}
	return all
}

// serviceAccountName splits the user name of a service account.
func serviceAccountName(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, authn.ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	ok = ok && len(validation.ValidateNamespaceName(namespace, false)) == 0 && len(validation.ValidateServiceAccountName(name, false)) == 0
	return namespace, name, ok
}
