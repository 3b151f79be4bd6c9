package openapi

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// plain is an operation that reads what is no resource.
func (d *definitions) plain(verb, name, description, kind string, gv schema.GroupVersion) *operation {
	op := &operation{
		method: "get", description: description, consumes: mediaTypes, produces: mediaTypes, codes: []int{200}, result: meta + kind,
	}
	op.id, op.tag = identify(verb, name, gv)
	return op
}

// aboutPaths describes what the server says of itself, by document.
func (d *definitions) aboutPaths(groups []string) map[string]paths {
	all := map[string]paths{}
	one := func(document string, op *operation) {
		p := paths{}
		p.add("/"+document+"/", op)
		all[document] = p
	}
	one("api", d.plain("get", "APIVersions", "get available API versions", "APIVersions", schema.GroupVersion{}))
	list := d.plain("get", "APIVersions", "get available API versions", "APIGroupList", schema.GroupVersion{})
	list.id, list.tag = "getAPIVersions", "apis"
	one("apis", list)
	for _, group := range groups {
		one("apis/"+group, d.plain("get", "APIGroup", "get information of a group", "APIGroup", schema.GroupVersion{Group: group}))
	}
	one("version", &operation{
		method: "get", description: "get the version information for this server", id: "getCodeVersion", tag: "version",
		consumes: mediaTypes[:1], produces: mediaTypes[:1], codes: []int{200}, result: "io.k8s.apimachinery.pkg.version.Info",
	})
	one(".well-known/openid-configuration", &operation{
		method: "get", description: "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
		id: "getServiceAccountIssuerOpenIDConfiguration", tag: "WellKnown", produces: mediaTypes[:1], codes: []int{200},
	})
	one("openid/v1/jwks", &operation{
		method: "get", description: "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
		id: "getServiceAccountIssuerOpenIDKeyset", tag: "openid", produces: []string{"application/jwk-set+json"}, codes: []int{200},
	})
	return all
}

// asLog makes reading a pod the reading of its log.
func (op *operation) asLog() {
	op.produces = append([]string{"text/plain"}, mediaTypes...)
	op.result = ""
	op.parameters = append(op.parameters, parametersOf(corev1.PodLogOptions{})...)
}
