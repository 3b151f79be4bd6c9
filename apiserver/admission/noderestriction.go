package admission

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// nodeRestriction keeps nodes to their own objects: what the authorizer cannot
// decide since it sees no bodies. permits asks the authorizer.
func nodeRestriction(permits func(authz.Attributes) bool) Step {
	return Step{
		Name: "NodeRestriction",
		On:   []Match{{Operations: []admissionv1.Operation{admissionv1.Create, admissionv1.Update, admissionv1.Delete}}},
		Mutate: pure(func(v *view.View, a *Attributes) error {
			node, isNode := a.User.Node()
			if !isNode {
				return nil
			}
			err := fmt.Errorf("could not determine node from user %q", a.User.Name)
			if node != "" {
				err = restrictNode(v, node, a, permits)
			}
			if err == nil || apierrors.IsNotFound(err) || apierrors.IsInternalError(err) {
				return err
			}
			return a.Forbidden(err)
		}),
	}
}

// restrictNode returns why the node may not do what it asks for.
func restrictNode(v *view.View, node string, a *Attributes, permits func(authz.Attributes) bool) error {
	switch a.Resource.Group + "/" + a.Resource.Resource {
	case "/pods":
		return restrictPod(v, node, a)
	case "/nodes":
		return restrictOwnNode(node, a)
	case "/persistentvolumeclaims":
		return restrictClaim(node, a)
	case "/serviceaccounts":
		if token, ok := a.Object.(*authenticationv1.TokenRequest); ok && a.Subresource == "token" {
			return restrictToken(v, node, a, token, permits)
		}
	case "coordination.k8s.io/leases":
		if a.Namespace != corev1.NamespaceNodeLease {
			return fmt.Errorf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
		}
		if a.Name != node {
			return errors.New("can only access node lease with the same name as the requesting node")
		}
	case "storage.k8s.io/csinodes":
		if a.Name != node {
			return errors.New("can only access CSINode with the same name as the requesting node")
		}
	case "certificates.k8s.io/certificatesigningrequests":
		if csr, ok := a.Object.(*certificatesv1.CertificateSigningRequest); ok && a.Operation == admissionv1.Create {
			return restrictSigning(node, csr)
		}
	case "certificates.k8s.io/podcertificaterequests":
		return restrictPodCertificate(v, node, a, permits)
	}
	return nil
}

func restrictOwnNode(node string, a *Attributes) error {
	if a.Name != node {
		return fmt.Errorf("node %q is not allowed to modify node %q", node, a.Name)
	}
	next, ok := a.Object.(*corev1.Node)
	if !ok {
		return nil
	}
	old, _ := a.Old.(*corev1.Node)
	if a.Operation == admissionv1.Create {
		if next.Spec.ConfigSource != nil {
			return fmt.Errorf("node %q is not allowed to create pods with a non-nil configSource", node)
		}
		if labels := ForbiddenNodeLabels(next.Labels, nil); len(labels) > 0 {
			return fmt.Errorf("node %q is not allowed to set the following labels: %s", node, strings.Join(labels, ", "))
		}
		return nil
	}
	equal := apiequality.Semantic.DeepEqual
	switch {
	case next.Spec.ConfigSource != nil && !equal(next.Spec.ConfigSource, old.Spec.ConfigSource):
		return fmt.Errorf("node %q is not allowed to update configSource to a new non-nil configSource", node)
	case !equal(next.Spec.Taints, old.Spec.Taints):
		return fmt.Errorf("node %q is not allowed to modify taints", node)
	case !equal(next.OwnerReferences, old.OwnerReferences):
		return fmt.Errorf("node %q is not allowed to modify ownerReferences", node)
	}
	if labels := ForbiddenNodeLabels(next.Labels, old.Labels); len(labels) > 0 {
		return fmt.Errorf("is not allowed to modify labels: %s", strings.Join(labels, ", "))
	}
	return nil
}

// nodeLabels are those of Kubernetes' own that a node may set on itself, and
// nodeLabelDomains those domains.
var (
	nodeLabels = []string{
		corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone,
		corev1.LabelFailureDomainBetaRegion, corev1.LabelInstanceType, corev1.LabelInstanceTypeStable,
		corev1.LabelOSStable, corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	}
	nodeLabelDomains = []string{corev1.LabelNamespaceSuffixKubelet, corev1.LabelNamespaceSuffixNode}
)

// ForbiddenNodeLabels are the labels that differ and are not for a node to set: by them
// it could draw pods to itself.
func ForbiddenNodeLabels(next, old map[string]string) []string {
	var out []string
	for key := range mergedKeys(next, old) {
		now, is := next[key]
		before, was := old[key]
		if is == was && now == before {
			continue
		}
		domain, _, ok := strings.Cut(key, "/")
		if !ok {
			continue
		}
		ours := within(domain, "kubernetes.io") || within(domain, "k8s.io")
		allowed := slices.Contains(nodeLabels, key) || slices.ContainsFunc(nodeLabelDomains, func(d string) bool { return within(domain, d) })
		if ours && !allowed || within(domain, corev1.LabelNamespaceNodeRestriction) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func mergedKeys(a, b map[string]string) map[string]string {
	out := maps.Clone(b)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, a)
	return out
}

// within tells whether a domain is the other one, or below it.
func within(domain, other string) bool {
	return domain == other || strings.HasSuffix(domain, "."+other)
}

func restrictClaim(node string, a *Attributes) error {
	if a.Subresource != "status" {
		return errors.New("may only update PVC status")
	}
	if a.Operation != admissionv1.Update {
		return fmt.Errorf("unexpected operation %q", a.Operation)
	}
	strip := func(obj any) *corev1.PersistentVolumeClaim {
		claim := obj.(*corev1.PersistentVolumeClaim).DeepCopy()
		claim.ResourceVersion, claim.ManagedFields = "", nil
		claim.Status.Capacity, claim.Status.Conditions = nil, nil
		claim.Status.AllocatedResources, claim.Status.AllocatedResourceStatuses = nil, nil
		return claim
	}
	if !apiequality.Semantic.DeepEqual(strip(a.Object), strip(a.Old)) {
		return fmt.Errorf("node %q is not allowed to update fields other than status.quantity and status.conditions", node)
	}
	return nil
}

// restrictToken lets a node ask for tokens of its pods alone, and for the
// audiences that they mount.
func restrictToken(v *view.View, node string, a *Attributes, token *authenticationv1.TokenRequest, permits func(authz.Attributes) bool) error {
	ref := token.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return errors.New("node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return errors.New("node requested token with a pod binding without a uid")
	}
	pod, ok := view.Get(v, resource.Pods, a.Namespace, ref.Name)
	switch {
	case !ok:
		return apierrors.NewNotFound(resource.Pods.Info.GR(), ref.Name)
	case ref.UID != pod.UID:
		return fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	case pod.Spec.NodeName != node:
		return errors.New("node requested token bound to a pod scheduled on a different node")
	case len(token.Spec.Audiences) > 1:
		return errors.New("node may only request 0 or 1 audiences")
	}
	audience := strings.Join(token.Spec.Audiences, "")
	if mountsAudience(pod, audience) || permits(authz.Attributes{
		User: a.User, Verb: "request-serviceaccounts-token-audience", Group: a.Resource.Group, Version: a.Resource.Version,
		Resource: audience, Namespace: a.Namespace, Name: a.Name,
	}) {
		return nil
	}
	return fmt.Errorf("%s is not authorized to request tokens for audience %q", a.User.Name, audience)
}

// mountsAudience tells whether a pod mounts a token for an audience; "" is the
// API server's own.
func mountsAudience(pod *corev1.Pod, audience string) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience {
				return true
			}
		}
	}
	return false
}

// restrictSigning lets a node ask for certificates in its own name.
func restrictSigning(node string, csr *certificatesv1.CertificateSigningRequest) error {
	if csr.Spec.SignerName != certificatesv1.KubeletServingSignerName && csr.Spec.SignerName != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	block, _ := pem.Decode(csr.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return fmt.Errorf("unable to parse csr: %w", err)
	}
	if want := authn.NodePrefix + node; request.Subject.CommonName != want {
		return fmt.Errorf("can only create a node CSR with CN=%s", want)
	}
	return nil
}
