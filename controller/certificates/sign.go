package certificates

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/resource/validate"
)

// legacyUnknown is the signer of requests that name none, which v1 no longer
// allows to be made.
const legacyUnknown = "kubernetes.io/legacy-unknown"

// sign signs an approved request of one of the cluster's own signers; other
// signers are not in the cluster.
func (c Config) sign(csr *certificatesv1.CertificateSigningRequest, now time.Time) controller.Plan {
	request, err := validate.ParseCertificateRequest(csr.Spec.Request)
	if err != nil {
		return controller.Plan{Err: fmt.Errorf("parse request %q: %w", csr.Name, err)}
	}
	next := csr.DeepCopy()
	switch csr.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientSignerName:
		err = checkClient(csr.Spec.Usages)
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		err = checkKubeletClient(request, csr.Spec.Usages)
	case certificatesv1.KubeletServingSignerName:
		err = checkKubeletServing(request, csr.Spec.Usages)
	case legacyUnknown:
	default:
		return controller.Plan{}
	}
	cause := "request " + csr.Name + " is approved"
	if err != nil {
		cause = "request " + csr.Name + " is not as its signer wants"
		next.Status.Conditions = append(next.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue,
			Reason: "SignerValidationFailure", Message: err.Error(), LastUpdateTime: metav1.NewTime(now),
		})
	} else {
		terms, err := c.terms(&csr.Spec, now)
		if err == nil {
			next.Status.Certificate, err = c.Sign(request, terms)
		}
		if err != nil {
			return controller.Plan{Err: fmt.Errorf("sign request %q: %w", csr.Name, err)}
		}
	}
	op := client.UpdateStatus(resource.CertificateSigningRequests, next)
	op.Cause = cause
	return controller.Plan{Do: []client.Op{op}}
}

func checkClient(usages []certificatesv1.KeyUsage) error {
	for _, u := range usages {
		switch u {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth:
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", u)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageClientAuth) {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}

// Lives of certificates, as upstream's defaults. All begin a little in the past,
// for clocks that are behind; one that lives no longer than shortLife gets that
// time back at its end. Where a cluster's own certificates are short, so is the
// time before: nodes renew at a share of the whole life.
const (
	usualLife = 365 * 24 * time.Hour
	shortest  = 10 * time.Minute
	backdate  = 5 * time.Minute
	shortLife = 8 * time.Hour
)

func (c Config) terms(s *certificatesv1.CertificateSigningRequestSpec, now time.Time) (pki.Terms, error) {
	authorityEnd, longest := c.Authority.NotAfter, cmp.Or(c.Life, usualLife)
	var t pki.Terms
	var unknown []certificatesv1.KeyUsage
	purposes := map[x509.ExtKeyUsage]bool{}
	for _, u := range s.Usages {
		usage, isUsage := usageOf(u)
		purpose, isPurpose := purposeOf(u)
		switch {
		case isUsage:
			t.Usage |= usage
		case isPurpose && !purposes[purpose]:
			purposes[purpose] = true
			t.Purposes = append(t.Purposes, purpose)
		case !isPurpose:
			unknown = append(unknown, u)
		}
	}
	slices.Sort(t.Purposes)
	if len(unknown) > 0 {
		return t, fmt.Errorf("unrecognized usage values: %q", unknown)
	}
	life, before := longest, min(backdate, longest/10)
	if s.ExpirationSeconds != nil {
		life = min(longest, max(shortest, time.Duration(*s.ExpirationSeconds)*time.Second))
	}
	t.NotBefore, t.NotAfter = now.Add(-before), now.Add(life)
	if life >= shortLife {
		t.NotAfter = t.NotAfter.Add(-before)
	}
	if t.NotAfter.After(authorityEnd) {
		t.NotAfter = authorityEnd
	}
	if !now.Before(authorityEnd) {
		return t, fmt.Errorf("the signer has expired: NotAfter=%v", authorityEnd)
	}
	return t, nil
}

func usageOf(u certificatesv1.KeyUsage) (x509.KeyUsage, bool) {
	usage, ok := map[certificatesv1.KeyUsage]x509.KeyUsage{
		certificatesv1.UsageSigning:           x509.KeyUsageDigitalSignature,
		certificatesv1.UsageDigitalSignature:  x509.KeyUsageDigitalSignature,
		certificatesv1.UsageContentCommitment: x509.KeyUsageContentCommitment,
		certificatesv1.UsageKeyEncipherment:   x509.KeyUsageKeyEncipherment,
		certificatesv1.UsageKeyAgreement:      x509.KeyUsageKeyAgreement,
		certificatesv1.UsageDataEncipherment:  x509.KeyUsageDataEncipherment,
		certificatesv1.UsageCertSign:          x509.KeyUsageCertSign,
		certificatesv1.UsageCRLSign:           x509.KeyUsageCRLSign,
		certificatesv1.UsageEncipherOnly:      x509.KeyUsageEncipherOnly,
		certificatesv1.UsageDecipherOnly:      x509.KeyUsageDecipherOnly,
	}[u]
	return usage, ok
}

func purposeOf(u certificatesv1.KeyUsage) (x509.ExtKeyUsage, bool) {
	purpose, ok := map[certificatesv1.KeyUsage]x509.ExtKeyUsage{
		certificatesv1.UsageAny:             x509.ExtKeyUsageAny,
		certificatesv1.UsageServerAuth:      x509.ExtKeyUsageServerAuth,
		certificatesv1.UsageClientAuth:      x509.ExtKeyUsageClientAuth,
		certificatesv1.UsageCodeSigning:     x509.ExtKeyUsageCodeSigning,
		certificatesv1.UsageEmailProtection: x509.ExtKeyUsageEmailProtection,
		certificatesv1.UsageSMIME:           x509.ExtKeyUsageEmailProtection,
		certificatesv1.UsageIPsecEndSystem:  x509.ExtKeyUsageIPSECEndSystem,
		certificatesv1.UsageIPsecTunnel:     x509.ExtKeyUsageIPSECTunnel,
		certificatesv1.UsageIPsecUser:       x509.ExtKeyUsageIPSECUser,
		certificatesv1.UsageTimestamping:    x509.ExtKeyUsageTimeStamping,
		certificatesv1.UsageOCSPSigning:     x509.ExtKeyUsageOCSPSigning,
		certificatesv1.UsageMicrosoftSGC:    x509.ExtKeyUsageMicrosoftServerGatedCrypto,
		certificatesv1.UsageNetscapeSGC:     x509.ExtKeyUsageNetscapeServerGatedCrypto,
	}[u]
	return purpose, ok
}
