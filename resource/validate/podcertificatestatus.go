package validate

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/mail"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodCertificateRequestStatus checks what a signer answered. A request ends
// once: issued, denied or failed.
func PodCertificateRequestStatus(r, old *certificatesv1.PodCertificateRequest, now time.Time) field.ErrorList {
	var p problems
	ends := []string{
		certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied,
		certificatesv1.PodCertificateRequestConditionTypeFailed,
	}
	endConditions(&p, r.Status.Conditions, ends)
	p.add(metavalidation.ValidateConditions(r.Status.Conditions, field.NewPath("status", "conditions"))...)
	if len(p) > 0 {
		return p.list()
	}
	has := func(r *certificatesv1.PodCertificateRequest, types ...string) bool {
		for _, t := range types {
			if meta.IsStatusConditionTrue(r.Status.Conditions, t) {
				return true
			}
		}
		return false
	}
	same := func(want certificatesv1.PodCertificateRequestStatus, detail string) {
		if !equality.Semantic.DeepEqual(r.Status, want) {
			p.invalid(field.NewPath("status"), field.OmitValueType{}, detail)
		}
	}
	switch {
	case has(old, ends...):
		same(old.Status, "immutable after PodCertificateRequest is issued, denied, or failed")
	case has(r, ends[1:]...):
		same(certificatesv1.PodCertificateRequestStatus{Conditions: r.Status.Conditions},
			"non-condition status fields must be empty when denying or failing the PodCertificateRequest")
	case has(r, ends[0]):
		issued(&p, r, old, now)
	default:
		same(old.Status, `status is immutable unless transitioning to "Issued", "Denied", or "Failed"`)
	}
	return p.list()
}

func endConditions(p *problems, list []metav1.Condition, ends []string) {
	known := 0
	for i, c := range list {
		at := field.NewPath("status", "conditions", fmt.Sprintf("[%d]", i))
		switch c.Type {
		case ends[0], ends[1], ends[2]:
			known++
			if known > 1 {
				p.invalid(at.Child("type"), c.Type, `There may be at most one condition with type "Issued", "Denied", or "Failed"`)
			}
			if c.Status != metav1.ConditionTrue {
				p.add(field.NotSupported(at.Child("status"), c.Status, []metav1.ConditionStatus{metav1.ConditionTrue}))
			}
		default:
			p.add(field.NotSupported(at.Child("type"), c.Type, ends))
		}
	}
}

// issued checks the chain of certificates and the times that are said of it.
// The first problem ends it: the rest depends on what is wrong.
func issued(p *problems, r, old *certificatesv1.PodCertificateRequest, now time.Time) {
	at, chain := field.NewPath("status", "certificateChain"), r.Status.CertificateChain
	if len(chain) > largestChain {
		p.add(field.TooLong(at, chain, largestChain))
		return
	}
	block, rest := pem.Decode([]byte(chain))
	if block == nil {
		p.invalid(at, chain, "issued certificate chain must contain at least one certificate")
		return
	}
	if block.Type != "CERTIFICATE" {
		p.invalid(at, chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
		return
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		p.invalid(at, chain, "leaf certificate does not parse as valid X.509")
		return
	}
	leafNames(p, at, leaf)
	if !ownKey(&old.Spec, leaf.PublicKey) {
		p.invalid(at, chain, "leaf certificate was not issued to the requested public key")
		return
	}
	if !issuedTimes(p, r, leaf, now) {
		return
	}
	for block, rest = pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			p.invalid(at, chain, "issued certificate chain must consist entirely of CERTFICATE PEM blocks")
			return
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			p.invalid(at, chain, "intermediate certificate does not parse as valid X.509")
			return
		}
	}
}

func leafNames(p *problems, at *field.Path, leaf *x509.Certificate) {
	for _, name := range leaf.DNSNames {
		if name == "" {
			p.invalid(at, name, "leaf certificate should not contain empty DNSName")
		}
		if strings.Contains(name, "..") {
			p.invalid(at, name, "leaf certificate's DNSName should not contain '..'")
		}
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			p.invalid(at, name, "leaf certificate's DNSName should not start or end with '.'")
		}
	}
	for _, address := range leaf.EmailAddresses {
		if _, err := mail.ParseAddress(address); err != nil {
			p.invalid(at, address, "leaf certificate should not contain invalid EmailAddress")
		}
	}
}

// ownKey says whether a certificate is for the key that the pod asked for.
func ownKey(s *certificatesv1.PodCertificateRequestSpec, got crypto.PublicKey) bool {
	request, err := x509.ParseCertificateRequest(s.StubPKCS10Request)
	if err != nil {
		return false
	}
	key, ok := request.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(got)
}

// issuedTimes says whether the times in the status are those of the certificate,
// and leave room to renew it.
func issuedTimes(p *problems, r *certificatesv1.PodCertificateRequest, leaf *x509.Certificate, now time.Time) bool {
	const skew, margin = 5 * time.Minute, 10 * time.Minute
	status, s := field.NewPath("status"), &r.Status
	if s.NotBefore == nil {
		p.required(status.Child("notBefore"), "must be present and consistent with the issued certificate")
	}
	if s.NotAfter == nil {
		p.required(status.Child("notAfter"), "must be present and consistent with the issued certificate")
	}
	if s.BeginRefreshAt == nil {
		p.required(status.Child("beginRefreshAt"), "must be present and in the range [notbefore+10min, notafter-10min]")
	}
	if len(*p) > 0 {
		return false
	}
	life, chain := leaf.NotAfter.Sub(leaf.NotBefore), status.Child("certificateChain")
	switch {
	case !s.NotBefore.Time.Equal(leaf.NotBefore):
		p.invalid(status.Child("notBefore"), s.NotBefore.Time, "must be set to the NotBefore time encoded in the leaf certificate")
	case s.NotBefore.Time.Sub(now).Abs() >= skew:
		p.invalid(status.Child("notBefore"), s.NotBefore.Time, "must be set to within 5 minutes of kube-apiserver's current time")
	case !s.NotAfter.Time.Equal(leaf.NotAfter):
		p.invalid(status.Child("notAfter"), s.NotAfter.Time, "must be set to the NotAfter time encoded in the leaf certificate")
	case life < time.Hour:
		p.invalid(chain, life, "leaf certificate lifetime must be >= 1 hour")
	case life > time.Duration(*r.Spec.MaxExpirationSeconds)*time.Second:
		p.invalid(chain, life, fmt.Sprintf("leaf certificate lifetime must be <= spec.maxExpirationSeconds (%v)", *r.Spec.MaxExpirationSeconds))
	case s.BeginRefreshAt.Time.Before(s.NotBefore.Add(margin)):
		p.invalid(status.Child("beginRefreshAt"), s.BeginRefreshAt.Time, "must be at least 10 minutes after status.notBefore")
	case s.BeginRefreshAt.Time.After(s.NotAfter.Add(-margin)):
		p.invalid(status.Child("beginRefreshAt"), s.BeginRefreshAt.Time, "must be at least 10 minutes before status.notAfter")
	}
	return len(*p) == 0
}
