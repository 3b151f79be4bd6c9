package apiserver

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
)

// call is one request on its way through a verb, whichever transport brought
// it.
type call struct {
	ctx    context.Context
	user   authn.User
	verb   string
	target target
	info   *resource.Info
	part   *resource.Subresource // nil for the object itself
	// version is the version of the kind that the client speaks. Bodies are read
	// and answers written in it; all between is about stored objects.
	version *resource.ServedInfo
	now     time.Time

	dryRun          bool
	fieldManager    string
	fieldValidation string // Strict, Warn or Ignore
	cause           string
	warnings        []string
}

// request is what the kind's functions are told.
func (c *call) request(verb resource.Verb) resource.Request {
	return resource.Request{
		Verb: verb, Subresource: c.target.subresource, Version: c.version.GVK.GroupVersion(), Now: metav1.NewTime(c.now), DryRun: c.dryRun,
	}
}

func (c *call) warn(messages ...string) {
	for _, m := range messages {
		if !slices.Contains(c.warnings, m) {
			c.warnings = append(c.warnings, m)
		}
	}
}

// readOptions reads the query parameters that all writing verbs share.
func (c *call) readOptions(q url.Values) error {
	c.fieldManager = q.Get("fieldManager")
	c.fieldValidation = q.Get("fieldValidation")
	var errs field.ErrorList
	if !slices.Contains([]string{"", metav1.FieldValidationStrict, metav1.FieldValidationWarn, metav1.FieldValidationIgnore}, c.fieldValidation) {
		errs = append(errs, field.NotSupported(field.NewPath("fieldValidation"), c.fieldValidation,
			[]string{metav1.FieldValidationIgnore, metav1.FieldValidationStrict, metav1.FieldValidationWarn}))
	}
	if c.fieldValidation == "" {
		c.fieldValidation = metav1.FieldValidationWarn
	}
	for _, value := range q["dryRun"] {
		if value != metav1.DryRunAll {
			errs = append(errs, field.NotSupported(field.NewPath("dryRun"), value, []string{metav1.DryRunAll}))
		}
		c.dryRun = true
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind(optionsKind(c.verb)).GroupKind(), "", errs)
	}
	return nil
}

func optionsKind(verb string) string {
	if verb == "" {
		return "Options"
	}
	return strings.ToUpper(verb[:1]) + verb[1:] + "Options"
}

// invalid returns the error for a query parameter that cannot be read.
func invalidParameter(name, value, want string) error {
	return apierrors.NewBadRequest(fmt.Sprintf("parameter %s: %q is not %s", name, value, want))
}
