package namespace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// messageAge is how long a condition's message is left to be out of date: a
// namespace with a thousand pods is not written a thousand times.
const messageAge = 2 * time.Second

// remains is what is still in a namespace.
type remains struct {
	kinds      map[string]int // by "resource.group"
	finalizers map[string]int // by finalizer: in how many objects
}

func (r remains) objects() int {
	sum := 0
	for _, n := range r.kinds {
		sum += n
	}
	return sum
}

// count counts what is left of the first turn that has anything left.
func count(v *view.View, kinds []*resource.Info, namespace string) remains {
	r := remains{map[string]int{}, map[string]int{}}
	for i, kind := range kinds {
		if i > 0 && turn(kind) != turn(kinds[i-1]) && len(r.kinds) > 0 {
			break
		}
		for e := range v.Entries(kind, namespace, view.Key{}) {
			r.kinds[kind.GVR.Resource+"."+kind.GVR.Group]++
			for _, f := range e.Object.GetFinalizers() {
				r.finalizers[f]++
			}
		}
	}
	return r
}

// conditions returns ns with the conditions that left calls for. It is nil if
// ns has them; and where only a message is out of date, and was written lately,
// wait says when to look again. An empty namespace that never had conditions
// gets none: it is about to go.
func conditions(ns *corev1.Namespace, left remains, now time.Time) (next *corev1.Namespace, wait time.Duration) {
	if left.objects() == 0 && len(ns.Status.Conditions) == 0 {
		return nil, 0
	}
	changed, recent := false, time.Duration(0)
	next = ns.DeepCopy()
	for _, want := range wanted(left) {
		want.LastTransitionTime = metav1.NewTime(now)
		i := slices.IndexFunc(next.Status.Conditions, func(c corev1.NamespaceCondition) bool { return c.Type == want.Type })
		if i < 0 {
			next.Status.Conditions, changed = append(next.Status.Conditions, want), true
			continue
		}
		have := next.Status.Conditions[i]
		switch age := now.Sub(have.LastTransitionTime.Time); {
		case have.Status == want.Status && have.Reason == want.Reason && have.Message == want.Message:
			continue
		case have.Status == want.Status && have.Reason == want.Reason && age >= 0 && age < messageAge:
			recent = max(recent, messageAge-age)
		default:
			changed = true
		}
		next.Status.Conditions[i] = want
	}
	switch {
	case changed:
		return next, 0
	default:
		return nil, recent
	}
}

// wanted returns the conditions of a namespace in which left is left. Kinds
// come from the server's own list, so their discovery cannot fail, and failed
// deletes are tried again and logged by the runner.
func wanted(left remains) []corev1.NamespaceCondition {
	remaining := condition(corev1.NamespaceContentRemaining, "ContentRemoved", "All content successfully removed")
	if len(left.kinds) > 0 {
		remaining = condition(corev1.NamespaceContentRemaining, "SomeResourcesRemain",
			"Some resources are remaining: "+listing(left.kinds, "%s has %d resource instances"))
		remaining.Status = corev1.ConditionTrue
	}
	finalizers := condition(corev1.NamespaceFinalizersRemaining, "ContentHasNoFinalizers", "All content-preserving finalizers finished")
	if len(left.finalizers) > 0 {
		finalizers = condition(corev1.NamespaceFinalizersRemaining, "SomeFinalizersRemain",
			"Some content in the namespace has finalizers remaining: "+listing(left.finalizers, "%s in %d resource instances"))
		finalizers.Status = corev1.ConditionTrue
	}
	return []corev1.NamespaceCondition{
		condition(corev1.NamespaceDeletionDiscoveryFailure, "ResourcesDiscovered", "All resources successfully discovered"),
		condition(corev1.NamespaceDeletionGVParsingFailure, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
		condition(corev1.NamespaceDeletionContentFailure, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
		remaining,
		finalizers,
	}
}

func condition(kind corev1.NamespaceConditionType, reason, message string) corev1.NamespaceCondition {
	return corev1.NamespaceCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, Message: message}
}

func listing(counts map[string]int, format string) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf(format, name, counts[name]))
	}
	return strings.Join(lines, ", ")
}
