// Package quota says what objects use of resource quotas: which quotas count
// an object, how much of what, and what is used in all. Its functions are pure;
// admission and the controller of quotas share them.
package quota

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// counter knows the objects of one kind.
type counter struct {
	// measures says whether the kind uses a resource of quotas.
	measures func(name corev1.ResourceName) bool
	usage    func(obj resource.Object, now time.Time) corev1.ResourceList
	// inScope says whether an object is in a scope; nil for kinds in none.
	inScope func(s corev1.ScopedResourceSelectorRequirement, obj resource.Object) bool
}

// Ignored says that objects of a kind are not counted: events never were, so
// that a cluster can always tell what happens.
func Ignored(info *resource.Info) bool { return info.GVR.Resource == "events" }

func counterOf(info *resource.Info) counter {
	switch info {
	case resource.Pods.Info:
		return counter{measures: podMeasure, usage: podUsage, inScope: podInScope}
	case resource.Services.Info:
		return counter{measures: serviceMeasure, usage: serviceUsage}
	case resource.PersistentVolumeClaims.Info:
		return counter{measures: claimMeasure, usage: claimUsage, inScope: claimInScope}
	}
	names := countNames(info)
	return counter{
		measures: func(name corev1.ResourceName) bool { return slices.Contains(names, name) },
		usage: func(resource.Object, time.Time) corev1.ResourceList {
			list := corev1.ResourceList{}
			for _, name := range names {
				list[name] = count(1)
			}
			return list
		},
	}
}

// countNames are the names under which objects of a kind are counted: "count/…"
// and, for some, an older one.
func countNames(info *resource.Info) []corev1.ResourceName {
	names := []corev1.ResourceName{corev1.ResourceName("count/" + info.GR().String())}
	switch {
	case info.GVR.Group != "":
	case slices.Contains([]string{"configmaps", "resourcequotas", "replicationcontrollers", "secrets"}, info.GVR.Resource):
		names = append(names, corev1.ResourceName(info.GVR.Resource))
	}
	return names
}

func count(n int) apiresource.Quantity {
	return *apiresource.NewQuantity(int64(n), apiresource.DecimalSI)
}

// Measured returns those of names that objects of a kind use.
func Measured(info *resource.Info, names corev1.ResourceList) []corev1.ResourceName {
	c := counterOf(info)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(n corev1.ResourceName) bool { return !c.measures(n) })
}

// Usage returns what an object uses of quotas that count it.
func Usage(info *resource.Info, obj resource.Object, now time.Time) corev1.ResourceList {
	return counterOf(info).usage(obj, now)
}

// Counts says whether a quota counts an object: the quota limits something that
// the kind uses, and the object is in all its scopes.
func Counts(q *corev1.ResourceQuota, info *resource.Info, obj resource.Object) bool {
	return len(Measured(info, q.Spec.Hard)) > 0 && inScopes(q, counterOf(info), obj)
}

func inScopes(q *corev1.ResourceQuota, c counter, obj resource.Object) bool {
	for _, s := range scopesOf(q) {
		if c.inScope == nil || !c.inScope(s, obj) {
			return false
		}
	}
	return true
}

func scopesOf(q *corev1.ResourceQuota) []corev1.ScopedResourceSelectorRequirement {
	var all []corev1.ScopedResourceSelectorRequirement
	for _, s := range q.Spec.Scopes {
		all = append(all, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		all = append(all, q.Spec.ScopeSelector.MatchExpressions...)
	}
	return all
}

// Used returns what the objects of a view use of what a quota limits.
func Used(v *view.View, kinds []*resource.Info, q *corev1.ResourceQuota, now time.Time) corev1.ResourceList {
	used := corev1.ResourceList{}
	for name := range q.Spec.Hard {
		used[name] = count(0)
	}
	for _, info := range kinds {
		if !info.Namespaced || Ignored(info) || len(Measured(info, q.Spec.Hard)) == 0 {
			continue
		}
		c := counterOf(info)
		for e := range v.Entries(info, q.Namespace, view.Key{}) {
			if inScopes(q, c, e.Object) {
				Add(used, Mask(c.usage(e.Object, now), q.Spec.Hard))
			}
		}
	}
	return used
}

// Add adds more to what is in to.
func Add(to, more corev1.ResourceList) {
	for name, q := range more {
		sum := to[name].DeepCopy()
		sum.Add(q)
		to[name] = sum
	}
}

// Growth returns by how much now is more than before, where it is.
func Growth(now, before corev1.ResourceList) corev1.ResourceList {
	more := corev1.ResourceList{}
	for name, q := range now {
		q = q.DeepCopy()
		q.Sub(before[name])
		if q.Sign() > 0 {
			more[name] = q
		}
	}
	return more
}

// Mask returns the part of list whose names are in names.
func Mask(list, names corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range list {
		if _, ok := names[name]; ok {
			out[name] = q
		}
	}
	return out
}

// Exceeded returns the part of list that is more than most.
func Exceeded(list, most corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range list {
		if limit, ok := most[name]; ok && q.Cmp(limit) > 0 {
			out[name] = q
		}
	}
	return out
}

// Text writes a list as "a=1,b=2".
func Text(list corev1.ResourceList) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		parts = append(parts, string(name)+"="+q.String())
	}
	return strings.Join(parts, ",")
}
