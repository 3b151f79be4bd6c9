// Package matching says which requests a webhook is about, and how it sees them.
package matching

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Criteria select requests by namespace, labels and resource.
type Criteria struct {
	// The selectors are nil where the error is not.
	namespaces, objects           labels.Selector
	namespacesError, objectsError error
	rules                         []Rule
	equivalent                    bool // a rule may name another version of the resource
}

// Rule names resources and operations on them.
type Rule = admissionregistrationv1.RuleWithOperations

// Webhook returns what a webhook selects.
func Webhook(w *admissionregistrationv1.MutatingWebhook) *Criteria {
	c := &Criteria{rules: w.Rules, equivalent: w.MatchPolicy != nil && *w.MatchPolicy == admissionregistrationv1.Equivalent}
	c.namespaces, c.namespacesError = metav1.LabelSelectorAsSelector(w.NamespaceSelector)
	c.objects, c.objectsError = metav1.LabelSelectorAsSelector(w.ObjectSelector)
	return c
}

// Target is what a request is to who selects it: that of the request itself, or an
// equivalent one that there is a rule for.
type Target struct {
	Resource schema.GroupVersionResource
	Kind     schema.GroupVersionKind
}

// Match returns how the request is to be seen, or nil where it is not selected.
// Errors count only where all else matches.
func (c *Criteria) Match(v *view.View, a *admission.Attributes) (*Target, error) {
	inNamespace, namespaceError := c.matchNamespace(v, a)
	if !inNamespace && namespaceError == nil {
		return nil, nil
	}
	chosen, objectError := c.matchObject(a)
	if !chosen && objectError == nil {
		return nil, nil
	}
	t := c.find(a)
	switch {
	case t == nil:
		return nil, nil
	case namespaceError != nil:
		return nil, namespaceError
	case objectError != nil:
		return nil, objectError
	}
	return t, nil
}

// matchNamespace compares the labels of the namespace, or of the namespace that
// is to be written. Other cluster-wide objects match always.
func (c *Criteria) matchNamespace(v *view.View, a *admission.Attributes) (bool, error) {
	itself := a.Resource.Resource == resource.Namespaces.Info.GVR.Resource
	if a.Namespace == "" && !itself {
		return true, nil
	}
	if c.namespacesError != nil {
		return false, apierrors.NewInternalError(c.namespacesError)
	}
	if c.namespaces.Empty() {
		return true, nil
	}
	if itself && a.Subresource == "" && (a.Operation == admissionv1.Create || a.Operation == admissionv1.Update) {
		return hasLabels(a.Object, c.namespaces), nil
	}
	namespace, ok := view.Get(v, resource.Namespaces, "", a.Namespace)
	if !ok {
		return false, apierrors.NewNotFound(resource.Namespaces.Info.GR(), a.Namespace)
	}
	return c.namespaces.Matches(labels.Set(namespace.Labels)), nil
}

func (c *Criteria) matchObject(a *admission.Attributes) (bool, error) {
	if c.objectsError != nil {
		return false, apierrors.NewInternalError(c.objectsError)
	}
	return c.objects.Empty() || hasLabels(a.Object, c.objects) || hasLabels(a.Old, c.objects), nil
}

// hasLabels is false for what has no metadata, such as options of connections.
func hasLabels(obj runtime.Object, selector labels.Selector) bool {
	if obj == nil {
		return false
	}
	accessor, err := meta.Accessor(obj)
	return err == nil && selector.Matches(labels.Set(accessor.GetLabels()))
}

// find looks for a rule that names the request's resource, and after that, where
// that is allowed, for one that names another version of it.
func (c *Criteria) find(a *admission.Attributes) *Target {
	for i := range c.rules {
		if ruleMatches(&c.rules[i], a, a.Resource) {
			return &Target{a.Resource, a.Kind}
		}
	}
	if !c.equivalent {
		return nil
	}
	for i := range c.rules {
		for _, other := range a.Info.Served {
			if other.GVR != a.Resource && ruleMatches(&c.rules[i], a, other.GVR) {
				return &Target{other.GVR, kindIn(other, a)}
			}
		}
	}
	return nil
}

// kindIn is the kind of a request's object in another version of the resource.
// Subresources of a kind of their own have only that.
func kindIn(version *resource.ServedInfo, a *admission.Attributes) schema.GroupVersionKind {
	if ownKind(a) {
		return version.GVK
	}
	return a.Kind
}

// ownKind tells whether the request's object is of the resource's kind.
func ownKind(a *admission.Attributes) bool {
	if a.Operation == admissionv1.Connect {
		return false
	}
	part := a.Info.Subresource(a.Subresource)
	return a.Subresource == "" || part != nil && part.Own()
}

func ruleMatches(rule *Rule, a *admission.Attributes, gvr schema.GroupVersionResource) bool {
	operation := func(o admissionregistrationv1.OperationType) bool {
		return o == admissionregistrationv1.OperationAll || string(o) == string(a.Operation)
	}
	return scopeMatches(rule.Scope, gvr, a.Namespace) &&
		slices.ContainsFunc(rule.Operations, operation) &&
		hasOrAll(rule.APIGroups, gvr.Group) && hasOrAll(rule.APIVersions, gvr.Version) &&
		slices.ContainsFunc(rule.Resources, func(name string) bool {
			name, sub, _ := strings.Cut(name, "/")
			return (name == "*" || name == gvr.Resource) && (sub == "*" || sub == a.Subresource)
		})
}

func hasOrAll(values []string, value string) bool {
	return slices.Contains(values, "*") || slices.Contains(values, value)
}

// scopeMatches knows that a namespace is in no namespace, though requests for
// one name it as theirs.
func scopeMatches(scope *admissionregistrationv1.ScopeType, gvr schema.GroupVersionResource, namespace string) bool {
	if scope == nil || *scope == admissionregistrationv1.AllScopes {
		return true
	}
	within := namespace != "" && gvr != resource.Namespaces.Info.GVR
	switch *scope {
	case admissionregistrationv1.NamespacedScope:
		return within
	case admissionregistrationv1.ClusterScope:
		return !within
	}
	return false
}
