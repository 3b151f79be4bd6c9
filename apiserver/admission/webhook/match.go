package webhook

import (
	"fmt"
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

// hook is one webhook, compiled.
type hook struct {
	entry *view.Entry // its configuration
	id    string      // unique among all hooks, and the same after a change of the configuration
	spec  *admissionregistrationv1.MutatingWebhook
	// The selectors are nil where the error is not.
	namespaces, objects         labels.Selector
	namespacesError, objectsErr error
	client                      *client
}

func newHook(e *view.Entry, position int, spec *admissionregistrationv1.MutatingWebhook, c *client) *hook {
	h := &hook{entry: e, id: fmt.Sprintf("%s/%s/%d", e.Key.Name, spec.Name, position), spec: spec, client: c}
	h.namespaces, h.namespacesError = metav1.LabelSelectorAsSelector(spec.NamespaceSelector)
	h.objects, h.objectsErr = metav1.LabelSelectorAsSelector(spec.ObjectSelector)
	return h
}

// target is what a request is to a webhook: that of the request itself, or an
// equivalent one that the webhook has a rule for.
type target struct {
	resource schema.GroupVersionResource
	kind     schema.GroupVersionKind
}

// match returns how the webhook sees the request, or nil where it does not
// concern the webhook. Errors count only where all else matches.
func (h *hook) match(v *view.View, a *admission.Attributes) (*target, error) {
	inNamespace, namespaceError := h.matchNamespace(v, a)
	if !inNamespace && namespaceError == nil {
		return nil, nil
	}
	chosen, objectError := h.matchObject(a)
	if !chosen && objectError == nil {
		return nil, nil
	}
	t := h.matchRules(a)
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
func (h *hook) matchNamespace(v *view.View, a *admission.Attributes) (bool, error) {
	itself := a.Resource.Resource == resource.Namespaces.Info.GVR.Resource
	if a.Namespace == "" && !itself {
		return true, nil
	}
	if h.namespacesError != nil {
		return false, apierrors.NewInternalError(h.namespacesError)
	}
	if h.namespaces.Empty() {
		return true, nil
	}
	if itself && a.Subresource == "" && (a.Operation == admissionv1.Create || a.Operation == admissionv1.Update) {
		return hasLabels(a.Object, h.namespaces), nil
	}
	namespace, ok := view.Get(v, resource.Namespaces, "", a.Namespace)
	if !ok {
		return false, apierrors.NewNotFound(resource.Namespaces.Info.GR(), a.Namespace)
	}
	return h.namespaces.Matches(labels.Set(namespace.Labels)), nil
}

func (h *hook) matchObject(a *admission.Attributes) (bool, error) {
	if h.objectsErr != nil {
		return false, apierrors.NewInternalError(h.objectsErr)
	}
	return h.objects.Empty() || hasLabels(a.Object, h.objects) || hasLabels(a.Old, h.objects), nil
}

// hasLabels is false for what has no metadata, such as options of connections.
func hasLabels(obj runtime.Object, selector labels.Selector) bool {
	if obj == nil {
		return false
	}
	accessor, err := meta.Accessor(obj)
	return err == nil && selector.Matches(labels.Set(accessor.GetLabels()))
}

// matchRules looks for a rule that names the request's resource, and after that,
// where the policy allows it, for one that names another version of it.
func (h *hook) matchRules(a *admission.Attributes) *target {
	for i := range h.spec.Rules {
		if ruleMatches(&h.spec.Rules[i], a, a.Resource) {
			return &target{a.Resource, a.Kind}
		}
	}
	if p := h.spec.MatchPolicy; p == nil || *p != admissionregistrationv1.Equivalent {
		return nil
	}
	for i := range h.spec.Rules {
		for _, other := range a.Info.Served {
			if other.GVR != a.Resource && ruleMatches(&h.spec.Rules[i], a, other.GVR) {
				return &target{other.GVR, kindIn(other, a)}
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

func ruleMatches(rule *admissionregistrationv1.RuleWithOperations, a *admission.Attributes, gvr schema.GroupVersionResource) bool {
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
