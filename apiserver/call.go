package apiserver

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/apply"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/metrics"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
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
	// received is when the request came in, by the clock that measures.
	received time.Time
	requests *metrics.Requests // those that this one is counted with
	answer   answer

	dryRun          bool
	fieldManager    string // as asked for; see manager
	userAgent       string
	force           *bool  // of server-side apply
	fieldValidation string // Strict, Warn or Ignore
	validationAsked string // as the request says it, if it does
	origin          origin
	while           store.Guard // what the writes depend on, beside their object
	warnings        []string
	// mayCreate lets a mutation make the object; created says that it has.
	mayCreate, created bool
}

// request is what the kind's functions are told.
func (c *call) request(verb resource.Verb) resource.Request {
	return resource.Request{
		Verb: verb, Subresource: c.target.subresource, Version: c.version.GVK.GroupVersion(), Now: metav1.NewTime(c.now), DryRun: c.dryRun,
		User: resource.User{Name: c.user.Name, UID: c.user.UID, Groups: c.user.Groups, Extra: c.user.Extra},
	}
}

func (c *call) warn(messages ...string) {
	for _, m := range messages {
		if !slices.Contains(c.warnings, m) {
			c.warnings = append(c.warnings, m)
		}
	}
}

// readOptions reads and checks the query parameters that all writing verbs
// share.
func (c *call) readOptions(r *http.Request) error {
	q := r.URL.Query()
	c.userAgent = r.UserAgent()
	c.readOrigin(r)
	c.fieldManager, c.fieldValidation = q.Get("fieldManager"), q.Get("fieldValidation")
	c.dryRun = len(q["dryRun"]) > 0
	if values, ok := q["force"]; ok {
		force := values[0] != "0" && !strings.EqualFold(values[0], "false")
		c.force = &force
	}
	if err := c.checkForms(r); err != nil {
		return err
	}
	var errs field.ErrorList
	switch c.verb {
	case "create":
		errs = validation.ValidateCreateOptions(&metav1.CreateOptions{
			DryRun: q["dryRun"], FieldManager: c.fieldManager, FieldValidation: c.fieldValidation})
	case "update":
		errs = validation.ValidateUpdateOptions(&metav1.UpdateOptions{
			DryRun: q["dryRun"], FieldManager: c.fieldManager, FieldValidation: c.fieldValidation})
	case "patch":
		errs = validation.ValidatePatchOptions(&metav1.PatchOptions{
			DryRun: q["dryRun"], FieldManager: c.fieldManager, FieldValidation: c.fieldValidation, Force: c.force}, patchTypeOf(r))
	}
	c.validationAsked = c.fieldValidation
	if c.fieldValidation == "" {
		c.fieldValidation = metav1.FieldValidationWarn
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind(optionsKind(c.verb)).GroupKind(), "", errs)
	}
	return nil
}

// checkForms refuses a write of an object, before its options are looked at, if the
// answer cannot have the form that the client wants, or its body is in none that
// the server reads.
func (c *call) checkForms(r *http.Request) error {
	if c.info == nil || c.verb != "create" && c.verb != "update" && c.verb != "patch" || c.part != nil && !c.part.Own() {
		return nil
	}
	if _, err := negotiate(r); err != nil || c.verb != "create" {
		return err
	}
	media, err := mediaOf(r)
	if err == nil && !slices.Contains(mediaTypes, media) {
		err = unsupportedMedia(mediaTypes...)
	}
	return err
}

func optionsKind(verb string) string { return strings.ToUpper(verb[:1]) + verb[1:] + "Options" }

// write says who writes, for the managed fields.
func (c *call) write() apply.Write {
	return apply.Write{
		Kind: c.info, Version: c.version.GVK.GroupVersion(), Subresource: c.target.subresource, Manager: c.manager(), Now: c.now,
	}
}

// manager is the name under which the writer owns fields: the one it gave, or
// the start of its user agent.
func (c *call) manager() string {
	if c.fieldManager != "" {
		return c.fieldManager
	}
	agent, _, _ := strings.Cut(c.userAgent, "/")
	var name []byte
	for _, r := range agent {
		if !unicode.IsPrint(r) {
			continue
		}
		if len(name)+utf8.RuneLen(r) > validation.FieldManagerMaxLength {
			break
		}
		name = utf8.AppendRune(name, r)
	}
	if len(name) == 0 {
		return "unknown"
	}
	return string(name)
}

// componentManager is the name under which a component in this process owns
// fields: upstream's program of that role.
func componentManager(user string) string {
	name := strings.TrimPrefix(user, "system:")
	if strings.HasPrefix(name, "node:") {
		return "kubelet"
	}
	if name == "apiserver" {
		return "kube-apiserver"
	}
	return name
}

// successCode is the status of a write that may have created.
func (c *call) successCode() int {
	if c.created {
		return http.StatusCreated
	}
	return http.StatusOK
}
