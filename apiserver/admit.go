package apiserver

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// admit runs the admission steps in order. They may change obj. old is nil on
// create.
func (s *Server) admit(c *call, obj, old resource.Object) error {
	if err := s.namespaceLifecycle(c, obj, old); err != nil {
		return err
	}
	if err := s.restrictNodeWrite(c, obj, old); err != nil {
		return err
	}
	if request, ok := obj.(*certificatesv1.CertificateSigningRequest); ok && old != nil {
		return admission.CertificateDecision(c.target.subresource, request, old.(*certificatesv1.CertificateSigningRequest), s.maySigner(c))
	}
	if old != nil || c.target.subresource != "" {
		return nil
	}
	return s.admitNew(c, obj)
}

// admitNew runs the steps for objects that are created.
func (s *Server) admitNew(c *call, obj resource.Object) error {
	admission.StorageProtection(obj)
	switch o := obj.(type) {
	case *corev1.Pod:
		if err := admission.ServiceAccount(s.View(), o, rand5); err != nil {
			return err
		}
		if err := admission.Priority(o); err != nil {
			return err
		}
		admission.DefaultTolerations(o)
		return admission.RuntimeClass(s.View(), o)
	case *certificatesv1.CertificateSigningRequest:
		return admission.CertificateSubject(o)
	case *certificatesv1.ClusterTrustBundle:
		return admission.TrustBundle(o, s.maySigner(c))
	case *networkingv1.Ingress:
		admission.DefaultIngressClass(s.View(), o)
	}
	return nil
}

// maySigner says what the user may do to signers of certificates.
func (s *Server) maySigner(c *call) func(verb, signer string) bool {
	return func(verb, signer string) bool {
		return s.authz.Allowed(s.View(), &authz.Attributes{
			User: c.user, Verb: verb, Group: "certificates.k8s.io", Version: "*", Resource: "signers", Name: signer,
		}).Allowed
	}
}

// namespaceLifecycle refuses objects in a namespace that does not exist or is
// being deleted.
func (s *Server) namespaceLifecycle(c *call, obj, old resource.Object) error {
	if !c.info.Namespaced || old != nil {
		return nil
	}
	name := obj.GetNamespace()
	namespace, ok := view.Get(s.View(), resource.Namespaces, "", name)
	if !ok {
		return apierrors.NewNotFound(resource.Namespaces.Info.GR(), name)
	}
	if namespace.DeletionTimestamp == nil && namespace.Status.Phase != corev1.NamespaceTerminating {
		return nil
	}
	err := apierrors.NewForbidden(c.info.GR(), obj.GetName(),
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", name))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: corev1.NamespaceTerminatingCause, Message: fmt.Sprintf("namespace %s is being terminated", name), Field: "metadata.namespace",
	})
	return err
}

// immortal namespaces cannot be deleted.
var immortal = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic}

func (s *Server) admitDelete(c *call, obj resource.Object) error {
	if err := s.restrictNode(c, admissionv1.Delete, nil, obj, obj.GetName()); err != nil {
		return err
	}
	if _, ok := obj.(*corev1.Namespace); ok && slices.Contains(immortal, obj.GetName()) {
		return apierrors.NewForbidden(c.info.GR(), obj.GetName(), fmt.Errorf("this namespace may not be deleted"))
	}
	return nil
}

// allocate gives a service its cluster addresses and node ports. They stay
// reserved until release, which is called when the view shows them.
func (s *Server) allocate(c *call, obj, old resource.Object) (release func(), err error) {
	svc, ok := obj.(*corev1.Service)
	if !ok || c.target.subresource != "" {
		return func() {}, nil
	}
	s.allocation.Lock()
	ranges := resource.ServiceRanges{IPs: s.config.ServiceCIDRs, FirstPort: s.config.NodePorts[0], LastPort: s.config.NodePorts[1]}
	errs, err := resource.AllocateService(svc, typedService(old), view.List(s.View(), resource.Services, ""), ranges, s.random)
	if err == nil {
		err = c.invalid(obj.GetName(), errs)
	}
	if err != nil {
		s.allocation.Unlock()
		return nil, err
	}
	return s.allocation.Unlock, nil
}

func typedService(obj resource.Object) *corev1.Service {
	if obj == nil {
		return nil
	}
	return obj.(*corev1.Service)
}

// rand5 returns five random characters for a generated name.
func rand5() string { return generateName("") }
