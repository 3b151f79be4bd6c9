package admission

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/resource/validate"
	"github.com/skiff-sh/skiff/view"
)

var requests = resource.CertificateSigningRequests.Info.GR()

// certificateSubjectRestriction refuses a new request that would make its owner
// one of the masters, whom no rule binds, in upstream's words.
func certificateSubjectRestriction() Step {
	return Step{
		Name: "CertificateSubjectRestriction",
		On:   []Match{{Operations: creates, Resource: requests, Subresources: itself}},
		Validate: pure(func(_ *view.View, a *Attributes) error {
			c := a.Object.(*certificatesv1.CertificateSigningRequest)
			if c.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
				return nil
			}
			request, err := validate.ParseCertificateRequest(c.Spec.Request)
			if err != nil {
				return a.Forbidden(fmt.Errorf("failed to parse CSR: %v", err))
			}
			if slices.Contains(request.Subject.Organization, authn.Masters) {
				return a.Forbidden(fmt.Errorf("use of %s signer with system:masters group is not allowed", certificatesv1.KubeAPIServerClientSignerName))
			}
			return nil
		}),
	}
}

// certificateApproval refuses to approve where the user may not for the signer.
func certificateApproval(may MaySigner) Step {
	return Step{
		Name: "CertificateApproval",
		On:   []Match{{Operations: updates, Resource: requests, Subresources: []string{"approval"}}},
		Validate: pure(func(_ *view.View, a *Attributes) error {
			signer := a.Old.(*certificatesv1.CertificateSigningRequest).Spec.SignerName
			if !may.anyOf(a.User, "approve", signer) {
				return a.Forbidden(fmt.Errorf("user not permitted to approve requests with signerName %q", signer))
			}
			return nil
		}),
	}
}

// certificateSigning refuses to sign where the user may not for the signer.
func certificateSigning(may MaySigner) Step {
	return Step{
		Name: "CertificateSigning",
		On:   []Match{{Operations: updates, Resource: requests, Subresources: []string{"status"}}},
		Validate: pure(func(_ *view.View, a *Attributes) error {
			c, old := a.Object.(*certificatesv1.CertificateSigningRequest), a.Old.(*certificatesv1.CertificateSigningRequest)
			same := bytes.Equal(c.Status.Certificate, old.Status.Certificate) && equality.Semantic.DeepEqual(c.Status.Conditions, old.Status.Conditions)
			if !same && !may.anyOf(a.User, "sign", old.Spec.SignerName) {
				return a.Forbidden(fmt.Errorf("user not permitted to sign requests with signerName %q", old.Spec.SignerName))
			}
			return nil
		}),
	}
}

// podCertificateSigning refuses a signer's answer to a pod from whoever may not
// sign for it. Upstream does so in the kind's validation, which has no
// authorizer here: the answer is that of an invalid object.
func podCertificateSigning(may MaySigner) Step {
	info := resource.PodCertificateRequests.Info
	return Step{
		Name: "PodCertificateSigning",
		On:   []Match{{Operations: updates, Resource: info.GR(), Subresources: []string{"status"}}},
		Validate: pure(func(_ *view.View, a *Attributes) error {
			r, old := a.Object.(*certificatesv1.PodCertificateRequest), a.Old.(*certificatesv1.PodCertificateRequest)
			signer := old.Spec.SignerName
			if equality.Semantic.DeepEqual(r.Status, old.Status) || may.anyOf(a.User, "sign", signer) {
				return nil
			}
			return apierrors.NewInvalid(info.GVK.GroupKind(), a.Name, field.ErrorList{
				field.Forbidden(field.NewPath("spec", "signerName"), fmt.Sprintf("User %q is not permitted to \"sign\" for signer %q", a.User.Name, signer)),
			})
		}),
	}
}

// clusterTrustBundleAttest refuses a bundle for a signer that the user may not
// speak for.
func clusterTrustBundleAttest(may MaySigner) Step {
	return Step{
		Name: "ClusterTrustBundleAttest",
		On:   []Match{{Operations: creates, Resource: resource.ClusterTrustBundles.Info.GR(), Subresources: itself}},
		Validate: pure(func(_ *view.View, a *Attributes) error {
			signer := a.Object.(*certificatesv1.ClusterTrustBundle).Spec.SignerName
			if signer != "" && !may.anyOf(a.User, "attest", signer) {
				return a.Forbidden(fmt.Errorf("user not permitted to attest for signerName %q", signer))
			}
			return nil
		}),
	}
}

func (may MaySigner) anyOf(user authn.User, verb, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	return may(user, verb, signer) || may(user, verb, domain+"/*")
}
