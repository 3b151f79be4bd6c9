package admission

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/resource/validate"
)

// CertificateSubject refuses a new request that would make its owner one of the
// masters, whom no rule binds: upstream's CertificateSubjectRestriction, in
// upstream's words.
func CertificateSubject(c *certificatesv1.CertificateSigningRequest) error {
	if c.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	request, err := validate.ParseCertificateRequest(c.Spec.Request)
	if err != nil {
		return refuseRequest(c, fmt.Errorf("failed to parse CSR: %v", err))
	}
	if slices.Contains(request.Subject.Organization, authn.Masters) {
		return refuseRequest(c, fmt.Errorf("use of %s signer with system:masters group is not allowed", certificatesv1.KubeAPIServerClientSignerName))
	}
	return nil
}

// CertificateDecision refuses to approve or to sign where the user may not do
// that for the signer: upstream's CertificateApproval and CertificateSigning.
// may says whether the user may do verb to that signer, or to all of a domain.
func CertificateDecision(subresource string, c, old *certificatesv1.CertificateSigningRequest, may func(verb, signer string) bool) error {
	signer := old.Spec.SignerName
	switch subresource {
	case "approval":
		if !mayFor(may, "approve", signer) {
			return refuseRequest(c, fmt.Errorf("user not permitted to approve requests with signerName %q", signer))
		}
	case "status":
		same := bytes.Equal(c.Status.Certificate, old.Status.Certificate) && equality.Semantic.DeepEqual(c.Status.Conditions, old.Status.Conditions)
		if !same && !mayFor(may, "sign", signer) {
			return refuseRequest(c, fmt.Errorf("user not permitted to sign requests with signerName %q", signer))
		}
	}
	return nil
}

// TrustBundle refuses a bundle for a signer that the user may not speak for:
// upstream's ClusterTrustBundleAttest.
func TrustBundle(b *certificatesv1.ClusterTrustBundle, may func(verb, signer string) bool) error {
	if b.Spec.SignerName == "" || mayFor(may, "attest", b.Spec.SignerName) {
		return nil
	}
	return apierrors.NewForbidden(resource.ClusterTrustBundles.Info.GR(), b.Name,
		fmt.Errorf("user not permitted to attest for signerName %q", b.Spec.SignerName))
}

func mayFor(may func(verb, signer string) bool, verb, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	return may(verb, signer) || may(verb, domain+"/*")
}

func refuseRequest(c *certificatesv1.CertificateSigningRequest, reason error) error {
	return apierrors.NewForbidden(resource.CertificateSigningRequests.Info.GR(), c.Name, reason)
}
