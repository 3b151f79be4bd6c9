package snapshot

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Term is a pod affinity or anti-affinity term, parsed.
type Term struct {
	// TopologyKey is the node label whose equal values make nodes one place.
	TopologyKey string
	Weight      int64 // of a preference

	selector        labels.Selector
	namespaces      []string
	namespaceLabels labels.Selector // nil is no namespace beyond those named
}

// NewTerm parses a term of owner's. A selector that cannot be parsed matches
// nothing.
func NewTerm(owner *corev1.Pod, t *corev1.PodAffinityTerm) Term {
	term := Term{TopologyKey: t.TopologyKey, selector: NewSelector(t.LabelSelector), namespaces: t.Namespaces}
	if len(t.Namespaces) == 0 && t.NamespaceSelector == nil {
		term.namespaces = []string{owner.Namespace}
	}
	if t.NamespaceSelector != nil {
		term.namespaceLabels = NewSelector(t.NamespaceSelector)
	}
	term.selector = WithKeys(term.selector, owner.Labels, t.MatchLabelKeys, selection.In)
	term.selector = WithKeys(term.selector, owner.Labels, t.MismatchLabelKeys, selection.NotIn)
	return term
}

// NewSelector parses a label selector; nil, and what cannot be parsed, match
// nothing.
func NewSelector(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}

// WithKeys narrows selector to pods that agree (In) or disagree (NotIn)
// with the owner's own values of keys (KEP-3243, KEP-3633). Keys that the owner
// does not have are left out.
func WithKeys(selector labels.Selector, own map[string]string, keys []string, op selection.Operator) labels.Selector {
	for _, key := range keys {
		value, ok := own[key]
		if !ok {
			continue
		}
		if r, err := labels.NewRequirement(key, op, []string{value}); err == nil {
			selector = selector.Add(*r)
		}
	}
	return selector
}

// Matches tells whether the term is about pod.
func (t *Term) Matches(s *Snapshot, pod *corev1.Pod) bool {
	if !slices.Contains(t.namespaces, pod.Namespace) &&
		(t.namespaceLabels == nil || !t.namespaceLabels.Matches(labels.Set(s.namespaces[pod.Namespace]))) {
		return false
	}
	return t.selector.Matches(labels.Set(pod.Labels))
}

// SetNamespace takes over the labels of a namespace, which select it in terms.
func (s *Snapshot) SetNamespace(name string, labels map[string]string) {
	if old, known := s.namespaces[name]; known && maps.Equal(old, labels) {
		return
	}
	s.namespaces[name] = labels
	s.log.restart()
}

// RemoveNamespace forgets a namespace.
func (s *Snapshot) RemoveNamespace(name string) {
	delete(s.namespaces, name)
	s.log.restart()
}

// Sociable returns the placed pods that care for others, with their nodes.
func (s *Snapshot) Sociable() map[*Pod]*Node { return s.sociable }
