package admission

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// restrictPodCertificate lets a node ask for certificates for the pods that run
// on it, and by the names and UIDs that they have, in upstream's words.
func restrictPodCertificate(v *view.View, node string, a *Attributes, permits func(authz.Attributes) bool) error {
	if a.Operation != admissionv1.Create {
		return fmt.Errorf("unexpected operation %v", a.Operation)
	}
	if a.Subresource != "" {
		return fmt.Errorf("unexpected subresource %v", a.Subresource)
	}
	s := &a.Object.(*certificatesv1.PodCertificateRequest).Spec
	if string(s.NodeName) != node {
		return fmt.Errorf("PodCertificateRequest.Spec.NodeName=%q, which is not the requesting node %q", s.NodeName, node)
	}
	have, ok := view.Get(v, resource.Nodes, "", node)
	if !ok {
		return fmt.Errorf("while retrieving node %q named in the PodCertificateRequest: %w", s.NodeName, apierrors.NewNotFound(resource.Nodes.Info.GR(), node))
	}
	if have.UID != s.NodeUID {
		return apierrors.NewInternalError(fmt.Errorf("PodCertificateRequest for pod %q names node UID %q, inconsistent with the running node (%q)", a.Namespace+"/"+s.PodName, s.NodeUID, have.UID))
	}
	pod, err := podOfRequest(v, a.Namespace, s)
	if err != nil {
		return err
	}
	if err := accountOfRequest(v, pod, s); err != nil {
		return err
	}
	if mountsCertificate(pod, s.SignerName) || permits(authz.Attributes{
		User: a.User, Verb: "request-serviceaccounts-podcertificate-signer", Group: a.Resource.Group, Version: a.Resource.Version,
		Resource: strings.ReplaceAll(s.SignerName, "/", ":"), Namespace: a.Namespace, Name: s.ServiceAccountName,
	}) {
		return nil
	}
	return fmt.Errorf("pod %q does not mount a podCertificate projected volume for signer %q", a.Namespace+"/"+s.PodName, s.SignerName)
}

func podOfRequest(v *view.View, namespace string, s *certificatesv1.PodCertificateRequestSpec) (*corev1.Pod, error) {
	name := namespace + "/" + s.PodName
	pod, ok := view.Get(v, resource.Pods, namespace, s.PodName)
	switch {
	case !ok:
		return nil, fmt.Errorf("while retrieving pod %q named in the PodCertificateRequest: %w", name, apierrors.NewNotFound(resource.Pods.Info.GR(), s.PodName))
	case pod.UID != s.PodUID:
		return nil, apierrors.NewInternalError(fmt.Errorf("PodCertificateRequest for pod %q contains pod UID (%q) which differs from running pod %q", name, s.PodUID, pod.UID))
	case pod.Spec.NodeName != string(s.NodeName):
		return nil, fmt.Errorf("pod %q is not running on node %q named in the PodCertificateRequest", name, s.NodeName)
	case pod.Annotations[corev1.MirrorPodAnnotationKey] != "":
		return nil, fmt.Errorf("pod %q is a mirror pod", name)
	case pod.Spec.ServiceAccountName != s.ServiceAccountName:
		return nil, fmt.Errorf("PodCertificateRequest for pod %q contains serviceAccountName (%q) that differs from running pod (%q)", name, s.ServiceAccountName, pod.Spec.ServiceAccountName)
	}
	return pod, nil
}

func accountOfRequest(v *view.View, pod *corev1.Pod, s *certificatesv1.PodCertificateRequestSpec) error {
	name := pod.Namespace + "/" + s.ServiceAccountName
	account, ok := view.Get(v, resource.ServiceAccounts, pod.Namespace, s.ServiceAccountName)
	if !ok {
		return fmt.Errorf("while retrieving service account %q named in the PodCertificateRequest: %w", name, apierrors.NewNotFound(resource.ServiceAccounts.Info.GR(), s.ServiceAccountName))
	}
	if account.UID != s.ServiceAccountUID {
		return apierrors.NewInternalError(fmt.Errorf("PodCertificateRequest for pod %q names service account UID %q, which differs from the running service account (%q)", pod.Namespace+"/"+pod.Name, s.ServiceAccountUID, account.UID))
	}
	return nil
}

// mountsCertificate tells whether a pod mounts a certificate of a signer.
func mountsCertificate(pod *corev1.Pod, signer string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.PodCertificate != nil && s.PodCertificate.SignerName == signer
		})
	})
}
