package validate

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/expression"
)

// StaticSuffix ends the names of configurations that come from files, which
// objects cannot have; StaticName says so.
const (
	StaticSuffix = ".static.k8s.io"
	StaticName   = `names ending with ".static.k8s.io" are reserved for static manifest-based configurations and cannot be managed via the API`
)

// reviewVersions are the versions of AdmissionReview that webhooks can be asked
// in.
var reviewVersions = []string{"v1", "v1beta1"}

// webhookRules says what an object may keep that was stored under older rules.
type webhookRules struct {
	p              *problems
	sideEffects    bool // any class of side effects
	versions       bool // no known version of AdmissionReview
	sameNames      bool
	labelValues    bool // values in selectors that no label can have
	sameConditions bool // match conditions are those it had
}

// NewWebhooks checks a new configuration of webhooks.
func NewWebhooks(name string, all []admissionregistrationv1.MutatingWebhook) field.ErrorList {
	var p problems
	r := webhookRules{p: &p}
	r.all(all)
	if strings.HasSuffix(name, StaticSuffix) {
		p.invalid(field.NewPath("metadata", "name"), name, StaticName)
	}
	return p.list()
}

// ChangedWebhooks checks a configuration that takes the place of another. What
// was wrong before may stay wrong.
func ChangedWebhooks(all, old []admissionregistrationv1.MutatingWebhook) field.ErrorList {
	var p problems
	r := webhookRules{p: &p, sameConditions: len(all) == len(old)}
	names := sets.New[string]()
	for i := range old {
		w := &old[i]
		r.sideEffects = r.sideEffects || w.SideEffects == nil || !slices.Contains(noSideEffects, *w.SideEffects)
		r.versions = r.versions || len(w.AdmissionReviewVersions) > 0 && !knownReview(w.AdmissionReviewVersions)
		r.sameNames = r.sameNames || names.Has(w.Name)
		names.Insert(w.Name)
		r.labelValues = r.labelValues || badSelector(w.NamespaceSelector) || badSelector(w.ObjectSelector)
		r.sameConditions = r.sameConditions && reflect.DeepEqual(all[i].MatchConditions, w.MatchConditions)
	}
	r.all(all)
	return p.list()
}

func badSelector(s *metav1.LabelSelector) bool {
	return s != nil && len(LabelSelector(nil, s)) > 0
}

func knownReview(versions []string) bool {
	return slices.ContainsFunc(versions, func(v string) bool { return slices.Contains(reviewVersions, v) })
}

func (r *webhookRules) all(all []admissionregistrationv1.MutatingWebhook) {
	names := sets.New[string]()
	for i := range all {
		w, at := &all[i], field.NewPath("webhooks").Index(i)
		r.webhook(at, w)
		r.reviews(at.Child("admissionReviewVersions"), w.AdmissionReviewVersions)
		if r.sameNames || w.Name == "" {
			continue
		}
		if names.Has(w.Name) {
			r.p.add(field.Duplicate(at.Child("name"), w.Name))
		}
		names.Insert(w.Name)
	}
}

var noSideEffects = []admissionregistrationv1.SideEffectClass{admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.SideEffectClassNoneOnDryRun}

func (r *webhookRules) webhook(at *field.Path, w *admissionregistrationv1.MutatingWebhook) {
	p := r.p
	p.add(validation.IsFullyQualifiedName(at.Child("name"), w.Name)...)
	for i := range w.Rules {
		webhookRule(p, at.Child("rules").Index(i), &w.Rules[i])
	}
	optional(p, at.Child("failurePolicy"), w.FailurePolicy, admissionregistrationv1.Ignore, admissionregistrationv1.Fail)
	optional(p, at.Child("matchPolicy"), w.MatchPolicy, admissionregistrationv1.Exact, admissionregistrationv1.Equivalent)
	classes := slices.Clone(noSideEffects)
	if r.sideEffects {
		classes = append(classes, admissionregistrationv1.SideEffectClassSome, admissionregistrationv1.SideEffectClassUnknown)
	}
	if w.SideEffects == nil {
		p.required(at.Child("sideEffects"), "must specify one of "+joined(classes))
	}
	optional(p, at.Child("sideEffects"), w.SideEffects, classes...)
	if t := w.TimeoutSeconds; t != nil && (*t > 30 || *t < 1) {
		p.invalid(at.Child("timeoutSeconds"), *t, "the timeout value must be between 1 and 30 seconds")
	}
	options := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: r.labelValues}
	p.add(metavalidation.ValidateLabelSelector(w.NamespaceSelector, options, at.Child("namespaceSelector"))...)
	p.add(metavalidation.ValidateLabelSelector(w.ObjectSelector, options, at.Child("objectSelector"))...)
	optional(p, at.Child("reinvocationPolicy"), w.ReinvocationPolicy, admissionregistrationv1.NeverReinvocationPolicy, admissionregistrationv1.IfNeededReinvocationPolicy)
	clientConfig(p, at.Child("clientConfig"), &w.ClientConfig)
	if !r.sameConditions {
		matchConditions(p, at.Child("matchConditions"), w.MatchConditions, false)
	}
}

// optional checks a value that may be left out.
func optional[T ~string](p *problems, at *field.Path, value *T, supported ...T) {
	if value != nil {
		supportedOnly(p, at, *value, supported...)
	}
}

func joined[T ~string](values []T) string {
	var all []string
	for _, v := range values {
		all = append(all, string(v))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (r *webhookRules) reviews(at *field.Path, versions []string) {
	if len(versions) == 0 {
		r.p.required(at, "must specify one of "+strings.Join(reviewVersions, ", "))
		return
	}
	for i, v := range versions {
		if slices.Contains(versions[:i], v) {
			r.p.invalid(at.Index(i), v, "duplicate version")
			continue
		}
		r.p.invalids(at.Index(i), v, validation.IsDNS1035Label(v))
	}
	if !r.versions && !knownReview(versions) {
		r.p.invalid(at, versions, "must include at least one of "+strings.Join(reviewVersions, ", "))
	}
}

func webhookRule(p *problems, at *field.Path, rule *admissionregistrationv1.RuleWithOperations) {
	operations := []admissionregistrationv1.OperationType{
		admissionregistrationv1.OperationAll, admissionregistrationv1.Connect, admissionregistrationv1.Create,
		admissionregistrationv1.Delete, admissionregistrationv1.Update,
	}
	if len(rule.Operations) == 0 {
		p.required(at.Child("operations"), "")
	}
	alone(p, at.Child("operations"), rule.Operations, "operations")
	for i, o := range rule.Operations {
		supportedOnly(p, at.Child("operations").Index(i), o, operations...)
	}
	if len(rule.APIGroups) == 0 {
		p.required(at.Child("apiGroups"), "")
	}
	alone(p, at.Child("apiGroups"), rule.APIGroups, "API groups")
	if len(rule.APIVersions) == 0 {
		p.required(at.Child("apiVersions"), "")
	}
	alone(p, at.Child("apiVersions"), rule.APIVersions, "API versions")
	for i, v := range rule.APIVersions {
		p.need(at.Child("apiVersions").Index(i), v)
	}
	ruleResources(p, at.Child("resources"), rule.Resources)
	optional(p, at.Child("scope"), rule.Scope, admissionregistrationv1.AllScopes, admissionregistrationv1.ClusterScope, admissionregistrationv1.NamespacedScope)
}

// alone reports a "*" that is not the only value.
func alone[T ~string](p *problems, at *field.Path, values []T, what string) {
	if len(values) > 1 && slices.Contains(values, "*") {
		p.invalid(at, values, "if '*' is present, must not specify other "+what)
	}
}

// ruleResources checks names such as "pods", "pods/exec", "pods/*", "*" and
// "*/*" against each other.
func ruleResources(p *problems, at *field.Path, names []string) {
	if len(names) == 0 {
		p.required(at, "")
	}
	var anySub, anyResource []string // those of "x/*", and of "*/x"
	single, plain := false, false
	for i, name := range names {
		if !p.need(at.Index(i), name) {
			continue
		}
		single = single || name == "*"
		resource, sub, ok := strings.Cut(name, "/")
		if !ok {
			plain = name != "*"
			continue
		}
		if slices.Contains(anySub, resource) {
			p.invalid(at.Index(i), name, fmt.Sprintf("if '%s/*' is present, must not specify %s", resource, name))
		}
		if slices.Contains(anyResource, sub) {
			p.invalid(at.Index(i), name, fmt.Sprintf("if '*/%s' is present, must not specify %s", sub, name))
		}
		if sub == "*" {
			anySub = append(anySub, resource)
		}
		if resource == "*" {
			anyResource = append(anyResource, sub)
		}
	}
	if len(names) > 1 && slices.Contains(names, "*/*") {
		p.invalid(at, names, "if '*/*' is present, must not specify other resources")
	}
	if single && plain {
		p.invalid(at, names, "if '*' is present, must not specify other resources without subresources")
	}
}

// clientConfig checks where a webhook is.
func clientConfig(p *problems, at *field.Path, c *admissionregistrationv1.WebhookClientConfig) {
	switch {
	case (c.URL == nil) == (c.Service == nil):
		p.required(at, "exactly one of url or service is required")
	case c.URL != nil:
		webhookURL(p, at.Child("url"), *c.URL)
	default:
		webhookService(p, at.Child("service"), c.Service)
	}
}

func webhookURL(p *problems, at *field.Path, text string) {
	const form = "; desired format: https://host[/path]"
	u, err := url.Parse(text)
	if err != nil {
		p.required(at, "url must be a valid URL: "+err.Error()+form)
		return
	}
	if u.Scheme != "https" {
		p.invalid(at, u.Scheme, "'https' is the only allowed URL scheme"+form)
	}
	if u.Host == "" {
		p.invalid(at, u.Host, "host must be specified"+form)
	}
	if u.User != nil {
		p.invalid(at, u.User.String(), "user information is not permitted in the URL")
	}
	if u.Fragment != "" {
		p.invalid(at, u.Fragment, "fragments are not permitted in the URL")
	}
	if u.RawQuery != "" {
		p.invalid(at, u.RawQuery, "query parameters are not permitted in the URL")
	}
}

func webhookService(p *problems, at *field.Path, s *admissionregistrationv1.ServiceReference) {
	// Upstream swaps the two: a missing namespace is shown at the name.
	p.need(at.Child("name"), s.Namespace)
	p.need(at.Child("namespace"), s.Name)
	port := int32(0)
	if s.Port != nil {
		port = *s.Port
	}
	if messages := validation.IsValidPortNum(int(port)); messages != nil {
		p.invalid(at.Child("port"), port, "port is not valid: "+strings.Join(messages, ", "))
	}
	if s.Path == nil || *s.Path == "" || *s.Path == "/" {
		return
	}
	at, path := at.Child("path"), *s.Path
	if path == "//" {
		p.invalid(at, path, "segment[0] may not be empty")
		return
	}
	if !strings.HasPrefix(path, "/") {
		p.invalid(at, path, "must start with a '/'")
	}
	for i, step := range strings.Split(strings.TrimSuffix(path[1:], "/"), "/") {
		if step == "" {
			p.invalid(at, path, fmt.Sprintf("segment[%d] may not be empty", i))
			continue
		}
		for _, m := range validation.IsDNS1123Subdomain(step) {
			p.invalid(at, path, fmt.Sprintf("segment[%d]: %s", i, m))
		}
	}
}

// maxMatchConditions is how many conditions a webhook may have.
const maxMatchConditions = 64

// matchConditions checks conditions about requests; params tells whether they may
// use the object that configures a policy.
func matchConditions(p *problems, at *field.Path, conditions []admissionregistrationv1.MatchCondition, params bool) {
	if len(conditions) > maxMatchConditions {
		p.add(field.TooMany(at, len(conditions), maxMatchConditions))
	}
	names := sets.New[string]()
	for i, c := range conditions {
		path := at.Index(i)
		if p.need(path.Child("expression"), strings.TrimSpace(c.Expression)) {
			if err := expression.CheckCondition(path.Child("expression"), c.Expression, params); err != nil {
				p.add(err)
			}
		}
		if p.need(path.Child("name"), c.Name) {
			qualifiedName(p, path.Child("name"), c.Name)
			if names.Has(c.Name) {
				p.add(field.Duplicate(path.Child("name"), c.Name))
			}
			names.Insert(c.Name)
		}
	}
}
