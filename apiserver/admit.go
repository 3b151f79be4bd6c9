package apiserver

import (
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
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
	switch {
	case op == admissionv1.Create:
		return &metav1.CreateOptions{TypeMeta: optionsType("CreateOptions"), DryRun: dryRun, FieldManager: c.fieldManager, FieldValidation: c.validationAsked}
	case op == admissionv1.Update && c.verb == "patch":
		return &metav1.PatchOptions{TypeMeta: optionsType("PatchOptions"), DryRun: dryRun, FieldManager: c.fieldManager, FieldValidation: c.validationAsked, Force: c.force}
	case op == admissionv1.Update:
		return &metav1.UpdateOptions{TypeMeta: optionsType("UpdateOptions"), DryRun: dryRun, FieldManager: c.fieldManager, FieldValidation: c.validationAsked}
	}
	return nil
}

func optionsType(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: kind}
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
	if c.verb == "deletecollection" { // whoever is asked finds the name in the object
		a.Name = ""
	}
	told := opts.DeepCopy()
	told.TypeMeta = optionsType("DeleteOptions")
	a.Options = told
	return s.admit(c, a)
}

// admit runs all of admission on a request that nothing happens to in between.
func (s *Server) admit(c *call, a *admission.Attributes) error {
	if err := s.admission.Mutate(c.ctx, a); err != nil {
		return err
	}
	return s.admission.Validate(c.ctx, a)
}

// admitChange runs the mutating half of admission on an object that is to be
// written.
func (s *Server) admitChange(c *call, a *admission.Attributes) error {
	obj := a.Object.(resource.Object)
	before := obj.GetManagedFields()
	if err := s.admission.Mutate(c.ctx, a); err != nil {
		return err
	}
	after := obj.GetManagedFields()
	if len(after) == len(before) && (len(after) == 0 || &after[0] == &before[0]) {
		return nil // the server's own: reading them is a twentieth of a write
	}
	if err := managedfields.ValidateManagedFields(after); err != nil {
		obj.SetManagedFields(before)
		c.warn(".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: " + err.Error())
	}
	return nil
}

// admitBody runs all of admission on a subresource that takes an object of
// another kind.
func (s *Server) admitBody(c *call, kind schema.GroupVersionKind, body runtime.Object) error {
	a := c.attributes(admissionv1.Create, nil, nil)
	defer a.Release()
	a.Kind, a.Object = kind, body
	return s.admit(c, a)
}

// admitConnection runs all of admission on the options of a connection, which it
// may change.
func (s *Server) admitConnection(c *call, options runtime.Object) error {
	a := c.attributes(admissionv1.Connect, nil, nil)
	defer a.Release()
	a.Kind, a.Object = c.part.Kind, options
	return s.admit(c, a)
}
