package controlplane

import (
	"crypto/x509"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/controller/certificates"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/view"
)

// Signer is the cluster's authority, and how long the certificates are valid that
// it signs for requests, 0 for upstream's year.
type Signer struct {
	*pki.Pair
	Life time.Duration
}

// signing lets the cluster's one authority sign for all of Kubernetes' own
// signers, as kubeadm's clusters do.
func (s Signer) signing() certificates.Config {
	var authorizer authz.Authorizer
	return certificates.Config{
		Authority: s.Certificate, Life: s.Life,
		Sign: func(request *x509.CertificateRequest, terms pki.Terms) ([]byte, error) {
			certificate, err := s.SignRequest(request, terms)
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
