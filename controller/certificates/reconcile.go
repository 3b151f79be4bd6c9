// Package certificates takes certificate signing requests to their end: those of
// nodes are approved by themselves, approved ones of Kubernetes' own signers
// signed, old ones removed. It also removes the requests of pods, and publishes
// the authority that the API server's certificate is from.
package certificates

import (
	"crypto/x509"
	"math/rand/v2"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Config is what the controller cannot decide itself.
type Config struct {
	// May says whether whoever made a request may create
	// certificatesigningrequests with this subresource: "selfnodeclient" or
	// "nodeclient".
	May func(v *view.View, by *certificatesv1.CertificateSigningRequestSpec, subresource string) bool
	// Sign returns a certificate, PEM, for the subject, names and key of a request.
	Sign func(request *x509.CertificateRequest, terms pki.Terms) ([]byte, error)
	// Authority signs.
	Authority *x509.Certificate
	// Life is how long certificates are valid at most, 0 for upstream's year.
	Life time.Duration
}

// Controller returns the controller of CertificateSigningRequests.
func Controller(config Config) controller.Controller {
	requests := resource.CertificateSigningRequests.Info
	return controller.Controller{
		Name: "certificate", For: requests,
		Reads: []controller.Input{ // who may what decides over approval
			{Kind: resource.ClusterRoles.Info, Keys: undecided}, {Kind: resource.ClusterRoleBindings.Info, Keys: undecided},
			{Kind: resource.Nodes.Info, Keys: ofNode}, // where a node is, it may serve
		},
		Writes: []controller.Output{
			{Kind: requests, Verbs: []resource.Verb{resource.Delete}},
			{Kind: requests, Subresource: "approval", Verbs: []resource.Verb{resource.Update}},
			{Kind: requests, Subresource: "status", Verbs: []resource.Verb{resource.Update}},
		},
		Reconcile: func(v *view.View, key view.Key, now time.Time, _ *rand.Rand) controller.Plan {
			csr, ok := view.Get(v, resource.CertificateSigningRequests, "", key.Name)
			if !ok || csr.DeletionTimestamp != nil {
				return controller.Plan{}
			}
			return config.reconcile(v, csr, now)
		},
	}
}

// undecided names the requests of nodes that a new permission may approve.
func undecided(v *view.View, _ resource.Object) []view.Key {
	var keys []view.Key
	for csr := range view.List(v, resource.CertificateSigningRequests, "") {
		if csr.Spec.SignerName == certificatesv1.KubeAPIServerClientKubeletSignerName && len(csr.Status.Conditions) == 0 {
			keys = append(keys, view.KeyOf(csr))
		}
	}
	return keys
}

// ofNode names the requests of a node that its addresses may approve.
func ofNode(v *view.View, node resource.Object) []view.Key {
	var keys []view.Key
	for csr := range view.List(v, resource.CertificateSigningRequests, "") {
		if csr.Spec.SignerName == certificatesv1.KubeletServingSignerName && len(csr.Status.Conditions) == 0 &&
			csr.Spec.Username == nodePrefix+node.GetName() {
			keys = append(keys, view.KeyOf(csr))
		}
	}
	return keys
}

func (c Config) reconcile(v *view.View, csr *certificatesv1.CertificateSigningRequest, now time.Time) controller.Plan {
	end, why := ending(csr)
	if !end.IsZero() && now.After(end) {
		op := client.Delete(resource.CertificateSigningRequests, csr)
		op.Cause = "certificate signing request " + csr.Name + " is " + why
		return controller.Plan{Do: []client.Op{op}}
	}
	var plan controller.Plan
	if len(csr.Status.Certificate) == 0 {
		switch {
		case has(csr, certificatesv1.CertificateDenied), has(csr, certificatesv1.CertificateFailed):
		case has(csr, certificatesv1.CertificateApproved):
			plan = c.sign(csr, now)
		default:
			plan = c.decide(v, csr)
		}
	}
	if !end.IsZero() {
		plan.Again = end.Sub(now) + time.Nanosecond // it must have passed
	}
	return plan
}

func has(csr *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) bool {
	return slices.ContainsFunc(csr.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}
