package certificates

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/resource/validate"
	"github.com/skiff-sh/skiff/view"
)

// approve approves the request of a node's client certificate if whoever made it
// may ask for one: for itself, or for any node (KEP-266).
func (c Config) approve(v *view.View, csr *certificatesv1.CertificateSigningRequest) controller.Plan {
	request, err := validate.ParseCertificateRequest(csr.Spec.Request)
	if err != nil || csr.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName ||
		checkKubeletClient(request, csr.Spec.Usages) != nil {
		return controller.Plan{}
	}
	message := ""
	switch {
	case csr.Spec.Username == request.Subject.CommonName && c.May(v, &csr.Spec, "selfnodeclient"):
		message = "Auto approving self kubelet client certificate after SubjectAccessReview."
	case c.May(v, &csr.Spec, "nodeclient"):
		message = "Auto approving kubelet client certificate after SubjectAccessReview."
	default:
		return controller.Plan{}
	}
	next := csr.DeepCopy()
	next.Status.Conditions = append(next.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved", Message: message,
	})
	op := client.Update(resource.CertificateSigningRequests, next)
	op.Subresource = "approval"
	op.Cause = csr.Spec.Username + " may have a node's certificate"
	return controller.Plan{Do: []client.Op{op}}
}

// The rules of nodes' certificates, in upstream's words: they end up in a
// condition.

func checkKubeletClient(r *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	switch {
	case !slices.Equal(r.Subject.Organization, []string{"system:nodes"}):
		return errors.New("subject organization is not system:nodes")
	case len(r.DNSNames) > 0:
		return errors.New("DNS subjectAltNames are not allowed")
	case len(r.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed")
	case len(r.IPAddresses) > 0:
		return errors.New("IP subjectAltNames are not allowed")
	case len(r.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	case !strings.HasPrefix(r.Subject.CommonName, "system:node:"):
		return errors.New("subject common name does not begin with system:node:")
	}
	return checkUsages(usages, certificatesv1.UsageClientAuth)
}

func checkKubeletServing(r *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	switch {
	case !slices.Equal(r.Subject.Organization, []string{"system:nodes"}):
		return errors.New("subject organization is not system:nodes")
	case len(r.DNSNames) == 0 && len(r.IPAddresses) == 0:
		return errors.New("DNS or IP subjectAltName is required")
	case len(r.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed")
	case len(r.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	}
	if err := checkUsages(usages, certificatesv1.UsageServerAuth); err != nil {
		return err
	}
	if !strings.HasPrefix(r.Subject.CommonName, "system:node:") {
		return errors.New("subject common name does not begin with system:node:")
	}
	return nil
}

// checkUsages allows just a purpose and signatures; RSA keys may also encipher.
func checkUsages(usages []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) error {
	have := slices.Compact(slices.Sorted(slices.Values(usages)))
	without := slices.Sorted(slices.Values([]certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, purpose}))
	with := slices.Sorted(slices.Values(append([]certificatesv1.KeyUsage{certificatesv1.UsageKeyEncipherment}, without...)))
	if slices.Equal(have, with) || slices.Equal(have, without) {
		return nil
	}
	return fmt.Errorf("usages did not match %v", with)
}
