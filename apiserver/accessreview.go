package apiserver

import (
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	operator "k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
)

func (s *Server) reviewSelfAccess(c *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.SelfSubjectAccessReview)
	spec := authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: review.Spec.ResourceAttributes, NonResourceAttributes: review.Spec.NonResourceAttributes}
	errs := append(validateAccess(spec), validateNoMeta(review.ObjectMeta, "must be empty")...)
	if len(errs) > 0 {
		return invalidReview(errs)
	}
	review.Status = s.access(c.user, spec)
	return nil
}

func (s *Server) reviewAccess(_ *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.SubjectAccessReview)
	errs := append(validateSubject(review.Spec), validateNoMeta(review.ObjectMeta, "must be empty")...)
	if len(errs) > 0 {
		return invalidReview(errs)
	}
	review.Status = s.access(subject(review.Spec), review.Spec)
	return nil
}

func (s *Server) reviewLocalAccess(c *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.LocalSubjectAccessReview)
	meta := review.ObjectMeta
	meta.Namespace = ""
	errs := append(validateSubject(review.Spec), validateNoMeta(meta, "must be empty except for namespace")...)
	if r := review.Spec.ResourceAttributes; r != nil && r.Namespace != review.Namespace {
		errs = append(errs, field.Invalid(field.NewPath("spec.resourceAttributes.namespace"), r.Namespace, "must match metadata.namespace"))
	}
	if n := review.Spec.NonResourceAttributes; n != nil {
		errs = append(errs, field.Invalid(field.NewPath("spec.nonResourceAttributes"), n, "disallowed on this kind of request"))
	}
	if len(errs) > 0 {
		return invalidReview(errs)
	}
	if c.target.namespace != review.Namespace {
		return apierrors.NewBadRequest("spec.resourceAttributes.namespace must match namespace: " + c.target.namespace)
	}
	review.Status = s.access(subject(review.Spec), review.Spec)
	return nil
}

// invalidReview names no kind, as upstream does not for its reviews.
func invalidReview(errs field.ErrorList) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: authorizationv1.GroupName}, "", errs)
}

func validateNoMeta(meta metav1.ObjectMeta, why string) field.ErrorList {
	shown := meta
	meta.ManagedFields = nil
	if apiequality.Semantic.DeepEqual(meta, metav1.ObjectMeta{}) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), shown, why)}
}

func validateSubject(spec authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := validateAccess(spec)
	if spec.User == "" && len(spec.Groups) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "user"), spec.User, "at least one of user or group must be specified"))
	}
	return errs
}

func validateAccess(spec authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	var errs field.ErrorList
	if (spec.ResourceAttributes == nil) == (spec.NonResourceAttributes == nil) {
		errs = append(errs, field.Invalid(field.NewPath("spec"), spec.NonResourceAttributes, "exactly one of nonResourceAttributes or resourceAttributes must be specified"))
	}
	r := spec.ResourceAttributes
	if r == nil {
		return errs
	}
	if f := r.FieldSelector; f != nil {
		path := field.NewPath("spec.resourceAttributes.fieldSelector")
		errs = append(errs, validateSelector(path, f.RawSelector, len(f.Requirements))...)
		for i, req := range f.Requirements {
			errs = append(errs, metav1validation.ValidateFieldSelectorRequirement(req, metav1validation.FieldSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, path.Child("requirements").Index(i))...)
		}
	}
	if l := r.LabelSelector; l != nil {
		path := field.NewPath("spec.resourceAttributes.labelSelector")
		errs = append(errs, validateSelector(path, l.RawSelector, len(l.Requirements))...)
		for i, req := range l.Requirements {
			errs = append(errs, metav1validation.ValidateLabelSelectorRequirement(req, metav1validation.LabelSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, path.Child("requirements").Index(i))...)
		}
	}
	return errs
}

func validateSelector(path *field.Path, raw string, requirements int) field.ErrorList {
	switch {
	case raw != "" && requirements > 0:
		return field.ErrorList{field.Invalid(path.Child("rawSelector"), raw, "may not specified at the same time as requirements")}
	case raw == "" && requirements == 0:
		return field.ErrorList{field.Required(path.Child("requirements"), fmt.Sprintf("when %s is specified, requirements or rawSelector is required", path))}
	}
	return nil
}

func subject(spec authorizationv1.SubjectAccessReviewSpec) authn.User {
	user := authn.User{Name: spec.User, UID: spec.UID, Groups: spec.Groups}
	for key, values := range spec.Extra {
		if user.Extra == nil {
			user.Extra = map[string][]string{}
		}
		user.Extra[key] = values
	}
	return user
}

// access answers what a review asks of a user.
func (s *Server) access(user authn.User, spec authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
	a := authz.Attributes{User: user}
	var problems []string
	if r := spec.ResourceAttributes; r != nil {
		a.Verb, a.Group, a.Version, a.Resource = r.Verb, r.Group, r.Version, r.Resource
		a.Subresource, a.Namespace, a.Name = r.Subresource, r.Namespace, r.Name
		a.Fields, problems = readSelectors(r)
	} else {
		a.Verb, a.Path = spec.NonResourceAttributes.Verb, spec.NonResourceAttributes.Path
	}
	verdict := s.authz.Allowed(s.View(), &a)
	return authorizationv1.SubjectAccessReviewStatus{
		Allowed: verdict.Allowed, Reason: verdict.Reason(), EvaluationError: strings.Join(problems, "; "),
	}
}

// readSelectors reads the selectors of a review. What cannot be read is left out,
// which asks for more, not for less, and is told.
func readSelectors(r *authorizationv1.ResourceAttributes) (fields.Requirements, []string) {
	var problems []string
	tell := func(name string, some bool) {
		how := "ignored"
		if some {
			how = "partially ignored"
		}
		problems = append(problems, fmt.Sprintf("spec.resourceAttributes.%s %s due to parse error", name, how))
	}
	found, ok := readFields(r.FieldSelector)
	if !ok {
		tell("fieldSelector", len(found) > 0)
	}
	if l := r.LabelSelector; l != nil {
		if readable, ok := readLabels(l); !ok {
			tell("labelSelector", readable > 0)
		}
	}
	return found, problems
}

func readFields(f *authorizationv1.FieldSelectorAttributes) (found fields.Requirements, ok bool) {
	if f == nil {
		return nil, true
	}
	if f.RawSelector != "" {
		selector, err := fields.ParseSelector(f.RawSelector)
		if err != nil {
			return nil, false
		}
		return selector.Requirements(), true
	}
	known := map[metav1.FieldSelectorOperator]operator.Operator{
		metav1.FieldSelectorOpIn: operator.Equals, metav1.FieldSelectorOpNotIn: operator.NotEquals,
	}
	for _, req := range f.Requirements {
		op, readable := known[req.Operator]
		if !readable || len(req.Values) != 1 {
			continue
		}
		found = append(found, fields.Requirement{Field: req.Key, Operator: op, Value: req.Values[0]})
	}
	return found, len(found) == len(f.Requirements)
}

// readLabels counts the requirements that can be read.
func readLabels(l *authorizationv1.LabelSelectorAttributes) (readable int, ok bool) {
	if l.RawSelector != "" {
		_, err := labels.Parse(l.RawSelector)
		return 0, err == nil
	}
	known := map[metav1.LabelSelectorOperator]operator.Operator{
		metav1.LabelSelectorOpIn: operator.In, metav1.LabelSelectorOpNotIn: operator.NotIn,
		metav1.LabelSelectorOpExists: operator.Exists, metav1.LabelSelectorOpDoesNotExist: operator.DoesNotExist,
	}
	for _, req := range l.Requirements {
		op, valid := known[req.Operator]
		if _, err := labels.NewRequirement(req.Key, op, req.Values); valid && err == nil {
			readable++
		}
	}
	return readable, readable == len(l.Requirements)
}

func (s *Server) reviewSelfRules(c *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.SelfSubjectRulesReview)
	namespace := review.Spec.Namespace
	if namespace == "" {
		return apierrors.NewBadRequest("no namespace on request")
	}
	status := authorizationv1.SubjectRulesReviewStatus{ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}}
	rules, err := s.authz.Policy(s.View()).Rules(c.user, namespace)
	for _, rule := range rules {
		if len(rule.Resources) > 0 {
			status.ResourceRules = append(status.ResourceRules, authorizationv1.ResourceRule{
				Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames,
			})
		}
		if len(rule.NonResourceURLs) > 0 {
			status.NonResourceRules = append(status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: rule.Verbs, NonResourceURLs: rule.NonResourceURLs})
		}
	}
	var problems []string
	if _, isNode := c.user.Node(); isNode {
		status.Incomplete = true // what a node may do depends on its pods
		problems = append(problems, "node authorizer does not support user rule resolution")
	}
	if err != nil {
		problems = append(problems, err.Error())
	}
	status.EvaluationError = strings.Join(problems, ", ")
	*review = authorizationv1.SelfSubjectRulesReview{Status: status}
	return nil
}
