package controlplane

import (
	"crypto/x509"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/controller/certificates"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/view"
)

// signingOf lets the cluster's one authority sign for all of Kubernetes' own
// signers, as kubeadm's clusters do.
func signingOf(authority *pki.Pair) certificates.Config {
	var authorizer authz.Authorizer
	return certificates.Config{
		Authority: authority.Certificate,
		Sign: func(request *x509.CertificateRequest, terms pki.Terms) ([]byte, error) {
			certificate, err := authority.SignRequest(request, terms)
			if err != nil {
				return nil, err
			}
			return (&pki.Pair{Certificate: certificate}).CertificatePEM(), nil
		},
		May: func(v *view.View, by *certificatesv1.CertificateSigningRequestSpec, subresource string) bool {
			extra := map[string][]string{}
			for key, values := range by.Extra {
				extra[key] = values
			}
			return authorizer.Allowed(v, &authz.Attributes{
				User: authn.User{Name: by.Username, UID: by.UID, Groups: by.Groups, Extra: extra},
				Verb: "create", Group: certificatesv1.GroupName, Version: "*", Resource: "certificatesigningrequests", Subresource: subresource,
			}).Allowed
		},
	}
}
