package validate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ParseCertificateRequest returns the PKCS#10 request in a PEM block.
func ParseCertificateRequest(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

// legacySigner was every signer's name before v1, which does not serve it.
const legacySigner = "kubernetes.io/legacy-unknown"

var keyUsages = []certificatesv1.KeyUsage{
	certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment,
	certificatesv1.UsageKeyEncipherment, certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment,
	certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign, certificatesv1.UsageEncipherOnly,
	certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth,
	certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning, certificatesv1.UsageEmailProtection,
	certificatesv1.UsageSMIME, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel,
	certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping, certificatesv1.UsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
}

// CertificateSigningRequest checks a request. "approval" is the part that may
// approve and deny, "status" the part that may issue.
func CertificateSigningRequest(c, old *certificatesv1.CertificateSigningRequest, subresource string) field.ErrorList {
	var p problems
	signingRequestSpec(&p, field.NewPath("spec"), &c.Spec)
	conditions := field.NewPath("status", "conditions")
	signingConditions(&p, conditions, c, old)
	if err := pemCertificates(c.Status.Certificate); err != nil {
		p.invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error())
	}
	if old == nil {
		return p.list()
	}
	signingUpdate(&p, conditions, c, old, subresource == "approval")
	if was := old.Status.Certificate; !bytes.Equal(c.Status.Certificate, was) {
		switch path := field.NewPath("status", "certificate"); {
		case subresource != "status":
			p.forbidden(path, "updates may not set certificate content")
		case len(was) > 0:
			p.forbidden(path, "updates may not modify existing certificate content")
		}
	}
	return p.list()
}

func signingRequestSpec(p *problems, at *field.Path, s *certificatesv1.CertificateSigningRequestSpec) {
	request, err := ParseCertificateRequest(s.Request)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		p.invalid(at.Child("request"), s.Request, err.Error())
	}
	usages := at.Child("usages")
	if len(s.Usages) == 0 {
		p.required(usages, "")
	}
	for i, usage := range s.Usages {
		supportedOnly(p, usages.Index(i), usage, slices.Clone(keyUsages)...)
	}
	for i, usage := range s.Usages {
		if slices.Contains(s.Usages[:i], usage) {
			p.add(field.Duplicate(usages.Index(i), usage))
		}
	}
	if s.SignerName == legacySigner {
		p.invalid(at.Child("signerName"), s.SignerName, "the legacy signerName is not allowed via this API version")
	} else {
		signerName(p, at.Child("signerName"), s.SignerName)
	}
	const least = 600
	if life := s.ExpirationSeconds; life != nil && *life < least {
		p.invalid(at.Child("expirationSeconds"), *life, "may not specify a duration less than 600 seconds (10 minutes)")
	}
}

// signingConditions checks conditions. Those that say yes or no once and for all
// cannot be taken back with another status.
func signingConditions(p *problems, at *field.Path, c, old *certificatesv1.CertificateSigningRequest) {
	final := []certificatesv1.RequestConditionType{
		certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed,
	}
	seen := sets.New[certificatesv1.RequestConditionType]()
	for i, condition := range c.Status.Conditions {
		path := at.Index(i)
		p.need(path.Child("type"), string(condition.Type))
		if slices.Contains(final, condition.Type) {
			oneOf(p, path.Child("status"), condition.Status, corev1.ConditionTrue)
		} else {
			oneOf(p, path.Child("status"), condition.Status, corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown)
		}
		if seen.Has(condition.Type) {
			p.add(field.Duplicate(path.Child("type"), condition.Type))
		}
		seen.Insert(condition.Type)
	}
	both := seen.HasAll(certificatesv1.CertificateApproved, certificatesv1.CertificateDenied)
	had := old != nil && len(ofType(old, certificatesv1.CertificateApproved)) > 0 && len(ofType(old, certificatesv1.CertificateDenied)) > 0
	if both && !had {
		const names = `conditions[{"type": "Approved"}], conditions[{"type": "Denied"}]`
		p.declared(field.Invalid(at, "{"+names+"}", "must specify at most one of: "+"`"+`conditions[{"type": "Approved"}]`+"`, `"+`conditions[{"type": "Denied"}]`+"`"))
	}
}

func ofType(c *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var found []certificatesv1.CertificateSigningRequestCondition
	for _, condition := range c.Status.Conditions {
		if condition.Type == kind {
			found = append(found, condition)
		}
	}
	return found
}

func signingUpdate(p *problems, at *field.Path, c, old *certificatesv1.CertificateSigningRequest, mayDecide bool) {
	decisions := []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied}
	for _, kind := range append(decisions, certificatesv1.CertificateFailed) {
		if len(ofType(c, kind)) < len(ofType(old, kind)) {
			p.forbidden(at, fmt.Sprintf("updates may not remove a condition of type %q", kind))
		}
	}
	if mayDecide {
		return
	}
	for _, kind := range decisions {
		now, was := ofType(c, kind), ofType(old, kind)
		switch {
		case len(now) < len(was): // said above
		case len(now) > len(was):
			p.forbidden(at, fmt.Sprintf("updates may not add a condition of type %q", kind))
		case !equality.Semantic.DeepEqual(now, was):
			p.forbidden(at, fmt.Sprintf("updates may not modify a condition of type %q\n%v", kind, diff.Diff(plain(was), plain(now))))
		}
	}
}

// pemCertificates says what is wrong with a chain of certificates; an empty one
// is good.
func pemCertificates(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	count := 0
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		}
		if len(block.Headers) > 0 {
			return errors.New("no PEM block headers are permitted")
		}
		certificates, err := x509.ParseCertificates(block.Bytes)
		if err != nil {
			return err
		}
		if len(certificates) == 0 {
			return errors.New("found CERTIFICATE PEM block containing 0 certificates")
		}
		count++
		data = rest
	}
	if count == 0 {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return nil
}
