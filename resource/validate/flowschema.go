package validate

import (
	"fmt"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// FlowSchema checks a schema. One that every cluster has to have, required, has
// a fixed spec.
func FlowSchema(s, required *flowcontrolv1.FlowSchema) field.ErrorList {
	var p problems
	at, spec := field.NewPath("spec"), &s.Spec
	precedence(&p, at.Child("matchingPrecedence"), spec.MatchingPrecedence, s.Name)
	if m := spec.DistinguisherMethod; m != nil {
		methods := []flowcontrolv1.FlowDistinguisherMethodType{flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType}
		if !slices.Contains(methods, m.Type) {
			p.add(field.NotSupported(at.Child("distinguisherMethod", "type"), plain(m), methods))
		}
	}
	if level := at.Child("priorityLevelConfiguration", "name"); spec.PriorityLevelConfiguration.Name == "" {
		p.required(level, "must reference a priority level")
	} else {
		objectName(&p, level, spec.PriorityLevelConfiguration.Name)
	}
	for i := range spec.Rules {
		flowRule(&p, at.Child("rules").Index(i), &spec.Rules[i])
	}
	if required != nil && !equality.Semantic.DeepEqual(*spec, required.Spec) {
		p.invalid(at, *spec, fmt.Sprintf("spec of '%s' must equal the fixed value", s.Name))
	}
	p.add(FlowSchemaStatus(s)...)
	return p.list()
}

func precedence(p *problems, at *field.Path, value int32, name string) {
	switch {
	case value <= 0:
		p.invalid(at, value, "must be a positive value")
	case value > flowcontrolv1.FlowSchemaMaxMatchingPrecedence:
		p.invalid(at, value, fmt.Sprintf("must not be greater than %v", flowcontrolv1.FlowSchemaMaxMatchingPrecedence))
	case value == 1 && name != flowcontrolv1.PriorityLevelConfigurationNameExempt:
		p.invalid(at, value, "only the schema named 'exempt' may have matchingPrecedence 1")
	}
}

// FlowSchemaStatus checks that there is one condition of each type.
func FlowSchemaStatus(s *flowcontrolv1.FlowSchema) field.ErrorList {
	var types []string
	for _, c := range s.Status.Conditions {
		types = append(types, string(c.Type))
	}
	return uniqueTypes(types)
}

func uniqueTypes(types []string) field.ErrorList {
	var p problems
	for i, t := range types {
		path := field.NewPath("status", "conditions").Index(i).Child("type")
		if slices.Contains(types[:i], t) {
			p.add(field.Duplicate(path, t))
		}
		p.need(path, t)
	}
	return p.list()
}

func flowRule(p *problems, at *field.Path, r *flowcontrolv1.PolicyRulesWithSubjects) {
	if len(r.Subjects) == 0 {
		p.required(at.Child("subjects"), "subjects must contain at least one value")
	}
	for i := range r.Subjects {
		flowSubject(p, at.Child("subjects").Index(i), &r.Subjects[i])
	}
	if len(r.ResourceRules) == 0 && len(r.NonResourceRules) == 0 {
		p.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty")
	}
	for i := range r.ResourceRules {
		flowResources(p, at.Child("resourceRules").Index(i), &r.ResourceRules[i])
	}
	for i := range r.NonResourceRules {
		rule, path := &r.NonResourceRules[i], at.Child("nonResourceRules").Index(i)
		flowVerbs(p, path.Child("verbs"), rule.Verbs)
		urls := path.Child("nonResourceURLs")
		switch {
		case len(rule.NonResourceURLs) == 0:
			p.required(urls, "nonResourceURLs must contain at least one value")
		case !aloneIfAny(p, urls, rule.NonResourceURLs, "non-resource URLs"):
			for j, url := range rule.NonResourceURLs {
				nonResourceURL(p, urls.Index(j), url)
			}
		}
	}
}

func flowSubject(p *problems, at *field.Path, s *flowcontrolv1.Subject) {
	kinds := []flowcontrolv1.SubjectKind{flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser}
	if !slices.Contains(kinds, s.Kind) {
		p.add(field.NotSupported(at.Child("kind"), s.Kind, kinds))
		return
	}
	parts := []struct {
		kind  flowcontrolv1.SubjectKind
		name  string
		set   bool
		check func(*field.Path)
	}{
		{flowcontrolv1.SubjectKindServiceAccount, "serviceAccount", s.ServiceAccount != nil, func(path *field.Path) {
			flowAccount(p, path, s.ServiceAccount)
		}},
		{flowcontrolv1.SubjectKindUser, "user", s.User != nil, func(path *field.Path) { p.need(path.Child("name"), s.User.Name) }},
		{flowcontrolv1.SubjectKindGroup, "group", s.Group != nil, func(path *field.Path) { p.need(path.Child("name"), s.Group.Name) }},
	}
	for _, part := range parts { // that of the kind first
		switch path := at.Child(part.name); {
		case part.kind != s.Kind:
		case !part.set:
			p.required(path, fmt.Sprintf("%s is required when subject kind is '%s'", part.name, part.kind))
		default:
			part.check(path)
		}
	}
	for _, part := range parts {
		if part.kind != s.Kind && part.set {
			p.forbidden(at.Child(part.name), fmt.Sprintf("%s is forbidden when subject kind is not '%s'", part.name, part.kind))
		}
	}
}

func flowAccount(p *problems, at *field.Path, s *flowcontrolv1.ServiceAccountSubject) {
	if p.need(at.Child("name"), s.Name) && s.Name != flowcontrolv1.NameAll {
		objectName(p, at.Child("name"), s.Name)
	}
	if s.Namespace == "" {
		p.required(at.Child("namespace"), "must specify namespace for service account")
		return
	}
	p.invalids(at.Child("namespace"), s.Namespace, apivalidation.ValidateNamespaceName(s.Namespace, false))
}

func flowVerbs(p *problems, at *field.Path, verbs []string) {
	known := []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}
	switch {
	case len(verbs) == 0:
		p.required(at, "verbs must contain at least one value")
	case !aloneIfAny(p, at, verbs, "verbs") && !sets.New(known...).HasAll(verbs...):
		p.add(field.NotSupported(at, any(verbs), known))
	}
}

// aloneIfAny says whether a list has a "*", and reports one that has more.
func aloneIfAny(p *problems, at *field.Path, list []string, what string) bool {
	any := slices.Contains(list, "*")
	if any && len(list) > 1 {
		p.invalid(at, list, fmt.Sprintf("if '*' is present, must not specify other %s", what))
	}
	return any
}

func flowResources(p *problems, at *field.Path, r *flowcontrolv1.ResourcePolicyRule) {
	flowVerbs(p, at.Child("verbs"), r.Verbs)
	if len(r.APIGroups) == 0 {
		p.required(at.Child("apiGroups"), "resource rules must supply at least one api group")
	}
	aloneIfAny(p, at.Child("apiGroups"), r.APIGroups, "api groups")
	if len(r.Resources) == 0 {
		p.required(at.Child("resources"), "resource rules must supply at least one resource")
	}
	aloneIfAny(p, at.Child("resources"), r.Resources, "resources")
	namespaces := at.Child("namespaces")
	switch {
	case len(r.Namespaces) == 0 && !r.ClusterScope:
		p.required(namespaces, "resource rules that are not cluster scoped must supply at least one namespace")
	case !aloneIfAny(p, namespaces, r.Namespaces, "namespaces"):
		for i, name := range r.Namespaces {
			for _, m := range apivalidation.ValidateNamespaceName(name, false) {
				p.invalid(namespaces.Index(i), name, "each member of this list must be '*' or a DNS-1123 label; "+m)
			}
		}
	}
}

func nonResourceURL(p *problems, at *field.Path, url string) {
	stars := strings.Count(url, "*")
	switch {
	case url == "":
		p.invalid(at, url, "must not be empty")
	case url == "/":
	case !strings.HasPrefix(url, "/"):
		p.invalid(at, url, "must start with slash")
	case strings.Contains(url, " "):
		p.invalid(at, url, "must not contain white-space")
	case strings.Contains(url, "//"):
		p.invalid(at, url, "must not contain double slash")
	case stars > 1 || stars == 1 && !strings.HasSuffix(url, "/*"):
		p.invalid(at, url, "wildcard can only do suffix matching")
	}
}
