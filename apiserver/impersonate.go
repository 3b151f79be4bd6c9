package apiserver

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
// if it asks for that and may.
func (s *Server) impersonate(user authn.User, header http.Header) (authn.User, error) {
	wanted, asks := impersonated(header)
	if !asks {
		return user, nil
	}
	if wanted.Name == "" {
		return user, apierrors.NewBadRequest("requested impersonation of a group, uid or extra without impersonating a user: set the header Impersonate-User too")
	}
	for _, a := range impersonations(wanted) {
		a.User, a.Verb = user, "impersonate"
		if ok, _ := authz.Allowed(s.View(), a); !ok {
			return user, apierrors.NewForbidden(schema.GroupResource{Group: a.Group, Resource: a.Resource}, a.Name, errors.New("User \""+user.Name+"\" "+a.String()))
		}
	}
	if len(wanted.Groups) == 0 {
		if namespace, name, ok := serviceAccountName(wanted.Name); ok {
			wanted.Groups = authn.ServiceAccount(namespace, name, "").Groups
		}
	}
	if wanted.Name != authn.Anonymous && !wanted.In(authn.Authenticated) && !wanted.In(authn.Unauthenticated) {
		wanted.Groups = append(wanted.Groups, authn.Authenticated)
	}
	return wanted, nil
}

// impersonated reads the headers.
func impersonated(header http.Header) (user authn.User, asks bool) {
	user = authn.User{Name: header.Get(asUser), Groups: header.Values(asGroup), UID: header.Get(asUID)}
	for name, values := range header {
		key, ok := strings.CutPrefix(name, asExtra)
		if !ok {
			continue
		}
		key = strings.ToLower(key)
		if decoded, err := url.PathUnescape(key); err == nil {
			key = decoded
		}
		if user.Extra == nil {
			user.Extra = map[string][]string{}
		}
		user.Extra[key] = values
	}
	return user, user.Name != "" || len(user.Groups) > 0 || user.UID != "" || user.Extra != nil
}

// impersonations are the permissions that acting as a user takes.
func impersonations(wanted authn.User) []authz.Attributes {
	const group = "authentication.k8s.io"
	who := authz.Attributes{Resource: "users", Version: "v1", Name: wanted.Name}
	if namespace, name, ok := serviceAccountName(wanted.Name); ok {
		who = authz.Attributes{Resource: "serviceaccounts", Version: "v1", Namespace: namespace, Name: name}
	}
	all := []authz.Attributes{who}
	for _, g := range wanted.Groups {
		all = append(all, authz.Attributes{Resource: "groups", Version: "v1", Name: g})
	}
	if wanted.UID != "" {
		all = append(all, authz.Attributes{Group: group, Version: "v1", Resource: "uids", Name: wanted.UID})
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
	rest, ok := strings.CutPrefix(user, "system:serviceaccount:")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}
