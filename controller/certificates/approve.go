package certificates

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
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

// nodePrefix begins the user names of nodes.
const nodePrefix = "system:node:"

// decide approves the requests of nodes' certificates that nobody needs to look at,
// and denies those that would take a node over.
func (c Config) decide(v *view.View, csr *certificatesv1.CertificateSigningRequest) controller.Plan {
	request, err := validate.ParseCertificateRequest(csr.Spec.Request)
	if err != nil {
		return controller.Plan{}
	}
	switch csr.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return c.decideClient(v, csr, request)
	case certificatesv1.KubeletServingSignerName:
		if mayServe(v, csr, request) {
			return decision(csr, certificatesv1.CertificateApproved, "AutoApproved",
				"Auto approving kubelet serving certificate of the node's own name and addresses.")
		}
	}
	return controller.Plan{}
}

// decideClient approves a node's client certificate if whoever asks may: for
// itself, or for any node (KEP-266). A bootstrap token is for nodes that are new:
// it must not give whoever has it the place of a node that lives.
func (c Config) decideClient(v *view.View, csr *certificatesv1.CertificateSigningRequest, request *x509.CertificateRequest) controller.Plan {
	if checkKubeletClient(request, csr.Spec.Usages) != nil {
		return controller.Plan{}
	}
	name := strings.TrimPrefix(request.Subject.CommonName, nodePrefix)
	switch {
	case csr.Spec.Username == request.Subject.CommonName && c.May(v, &csr.Spec, "selfnodeclient"):
		return decision(csr, certificatesv1.CertificateApproved, "AutoApproved",
			"Auto approving self kubelet client certificate after SubjectAccessReview.")
	case !c.May(v, &csr.Spec, "nodeclient"):
		return controller.Plan{}
	case slices.Contains(csr.Spec.Groups, "system:bootstrappers") && lives(v, name):
		return decision(csr, certificatesv1.CertificateDenied, "NodeLives",
			fmt.Sprintf("node %q is there already, and ready: choose another name, or if this machine takes its place, delete it first (kubectl delete node %s)", name, name))
	}
	return decision(csr, certificatesv1.CertificateApproved, "AutoApproved",
		"Auto approving kubelet client certificate after SubjectAccessReview.")
}

// lives tells whether there is a node of a name, and it is ready.
func lives(v *view.View, name string) bool {
	node, ok := view.Get(v, resource.Nodes, "", name)
	return ok && resource.NodeReady(node)
}

func decision(csr *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType, reason, message string) controller.Plan {
	next := csr.DeepCopy()
	next.Status.Conditions = append(next.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message,
	})
	op := client.Update(resource.CertificateSigningRequests, next)
	op.Subresource = "approval"
	op.Cause = csr.Spec.Username + " asks for a node's certificate"
	return controller.Plan{Do: []client.Op{op}}
}

// mayServe tells whether a node asks for itself, by its name and by addresses that
// are its own and nobody else's.
func mayServe(v *view.View, csr *certificatesv1.CertificateSigningRequest, request *x509.CertificateRequest) bool {
	name, isNode := strings.CutPrefix(csr.Spec.Username, nodePrefix)
	if !isNode || !slices.Contains(csr.Spec.Groups, "system:nodes") || csr.Spec.Username != request.Subject.CommonName ||
		checkKubeletServing(request, csr.Spec.Usages) != nil {
		return false
	}
	for _, n := range request.DNSNames {
		// A node called like the API server is not believed to be it.
		if n != name || n == "localhost" || n == "kubernetes" || strings.HasPrefix(n, "kubernetes.") {
			return false
		}
	}
	node, ok := view.Get(v, resource.Nodes, "", name)
	if !ok {
		return false // not yet
	}
	for _, ip := range request.IPAddresses {
		if ip.IsLoopback() || ip.IsUnspecified() || !isAt(node, ip) {
			return false
		}
		for other := range view.List(v, resource.Nodes, "") {
			if other.Name != name && isAt(other, ip) {
				return false
			}
		}
	}
	return true
}

func isAt(node *corev1.Node, ip net.IP) bool {
	return slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool {
		return a.Type == corev1.NodeInternalIP && ip.Equal(net.ParseIP(a.Address))
	})
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
	case !strings.HasPrefix(r.Subject.CommonName, nodePrefix):
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
	if !strings.HasPrefix(r.Subject.CommonName, nodePrefix) {
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
