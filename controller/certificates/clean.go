package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"math/rand/v2"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// How long requests stay, as upstream's: those that came to something short,
// those that wait for someone longer.
const (
	decidedStays = time.Hour
	pendingStays = 24 * time.Hour
	podStays     = 15 * time.Minute
)

// ending is when a request is to go, and what it will be then.
func ending(csr *certificatesv1.CertificateSigningRequest) (end time.Time, why string) {
	sooner := func(from time.Time, stays time.Duration, reason string) {
		if at := from.Add(stays); !from.IsZero() && (end.IsZero() || at.Before(end)) {
			end, why = at, reason
		}
	}
	issued := len(csr.Status.Certificate) > 0
	if len(csr.Status.Conditions) == 0 {
		sooner(csr.CreationTimestamp.Time, pendingStays, "pending for too long")
	}
	for _, c := range csr.Status.Conditions {
		updated := c.LastUpdateTime.Time
		switch {
		case c.Type == certificatesv1.CertificateDenied:
			sooner(updated, decidedStays, "denied")
		case c.Type == certificatesv1.CertificateFailed:
			sooner(updated, decidedStays, "failed")
		case c.Type == certificatesv1.CertificateApproved && issued:
			sooner(updated, decidedStays, "answered")
			sooner(notAfter(csr.Status.Certificate), 0, "answered with a certificate that has expired")
		case c.Type == certificatesv1.CertificateApproved:
			sooner(updated, pendingStays, "approved and signed by nobody")
		}
	}
	return end, why
}

// notAfter is when the first certificate of a chain expires; zero where there is
// none.
func notAfter(chain []byte) time.Time {
	block, _ := pem.Decode(chain)
	if block == nil {
		return time.Time{}
	}
	certificates, err := x509.ParseCertificates(block.Bytes)
	if err != nil || len(certificates) == 0 {
		return time.Time{}
	}
	return certificates[0].NotAfter
}

// PodRequests returns the controller that removes old requests of pods: each is
// answered soon or never.
func PodRequests() controller.Controller {
	return controller.Controller{
		Name:   "podcertificaterequestcleaner",
		For:    resource.PodCertificateRequests.Info,
		Writes: []controller.Output{{Kind: resource.PodCertificateRequests.Info, Verbs: []resource.Verb{resource.Delete}}},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			r, ok := view.Get(v, resource.PodCertificateRequests, key.Namespace, key.Name)
			if !ok || r.DeletionTimestamp != nil {
				return controller.Plan{}
			}
			if left := r.CreationTimestamp.Add(podStays).Sub(now); left > 0 {
				return controller.Plan{Again: left}
			}
			op := client.Delete(resource.PodCertificateRequests, r)
			op.Cause = "request " + key.String() + " is old"
			return controller.Plan{Do: []client.Op{op}}
		},
	}
}
