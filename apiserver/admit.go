package apiserver

import (
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// attributes are what the steps of admission see of a request that writes obj
// in place of old, which is nil on create. A delete has no obj.
func (c *call) attributes(op admissionv1.Operation, obj, old resource.Object) *admission.Attributes {
	a := &admission.Attributes{
		Operation: op, Info: c.info, Kind: c.version.GVK, Resource: c.version.GVR, Subresource: c.target.subresource,
		Namespace: c.target.namespace, Name: c.target.name, User: c.user, DryRun: c.dryRun, Options: c.options(op),
		Warn: c.warn, Audit: func(string, string) {},
	}
	if obj != nil {
		a.Object = obj
	}
	if old != nil {
		a.Old = old
		a.Name = old.GetName()
	}
	if op == admissionv1.Create && a.Name == "" && obj != nil {
		a.Name = obj.GetName()
	}
	if c.info == resource.Namespaces.Info {
		a.Namespace = a.Name
	}
	return a
}

// options are the request's, as webhooks see them.
func (c *call) options(op admissionv1.Operation) runtime.Object {
	var dryRun []string
	if c.dryRun {
		dryRun = []string{metav1.DryRunAll}
	}
	kind := func(name string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: name}
	}
	switch {
	case op == admissionv1.Create:
		return &metav1.CreateOptions{TypeMeta: kind("CreateOptions"), DryRun: dryRun, FieldManager: c.fieldManager, FieldValidation: c.fieldValidation}
	case op == admissionv1.Update && c.verb == "patch":
		return &metav1.PatchOptions{TypeMeta: kind("PatchOptions"), DryRun: dryRun, FieldManager: c.fieldManager, FieldValidation: c.fieldValidation}
	case op == admissionv1.Update:
		return &metav1.UpdateOptions{TypeMeta: kind("UpdateOptions"), DryRun: dryRun, FieldManager: c.fieldManager, FieldValidation: c.fieldValidation}
	}
	return nil
}

// maySigner says what a user may do to signers of certificates.
func (s *Server) maySigner(user authn.User, verb, signer string) bool {
	return s.authz.Allowed(s.View(), &authz.Attributes{
		User: user, Verb: verb, Group: "certificates.k8s.io", Version: "*", Resource: "signers", Name: signer,
	}).Allowed
}

// admitDelete runs all of admission on the deletion of an object.
func (s *Server) admitDelete(c *call, old resource.Object, opts *metav1.DeleteOptions) error {
	a := c.attributes(admissionv1.Delete, nil, old)
	defer a.Release()
	if opts != nil {
		a.Options = opts
	}
	if err := s.admission.Mutate(c.ctx, a); err != nil {
		return err
	}
	return s.admission.Validate(c.ctx, a)
}

// admitBody runs all of admission on a subresource that takes an object of
// another kind.
func (s *Server) admitBody(c *call, kind schema.GroupVersionKind, body runtime.Object) error {
	a := c.attributes(admissionv1.Create, nil, nil)
	defer a.Release()
	a.Kind, a.Object = kind, body
	if err := s.admission.Mutate(c.ctx, a); err != nil {
		return err
	}
	return s.admission.Validate(c.ctx, a)
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
