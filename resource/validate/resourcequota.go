package validate

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ResourceQuota checks a quota. Its scopes cannot change.
func ResourceQuota(q, old *corev1.ResourceQuota) field.ErrorList {
	var p problems
	at := field.NewPath("spec")
	quotaList(&p, at.Child("hard"), q.Spec.Hard)
	s := scopeCheck{p: &p, spec: &q.Spec}
	s.scopes(at.Child("scopes"))
	if q.Spec.ScopeSelector != nil {
		s.selector(at.Child("scopeSelector", "matchExpressions"))
	}
	if old != nil && !sets.New(q.Spec.Scopes...).Equal(sets.New(old.Spec.Scopes...)) {
		p.invalid(at.Child("scopes"), q.Spec.Scopes, "field is immutable")
	}
	return p.list()
}

// ResourceQuotaStatus checks what is written to a quota's status.
func ResourceQuotaStatus(q *corev1.ResourceQuota) field.ErrorList {
	var p problems
	quotaList(&p, field.NewPath("status", "hard"), q.Status.Hard)
	quotaList(&p, field.NewPath("status", "used"), q.Status.Used)
	return p.list()
}

func quotaList(p *problems, at *field.Path, list corev1.ResourceList) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		path := at.Key(string(name))
		resourceName(p, path, name)
		if !strings.Contains(string(name), "/") && !quotaResource(name) {
			p.invalid(path, name, "must be a standard resource for quota")
		}
		quantity(p, path, name, list[name])
	}
}

// quotaResource says whether name, which has no domain, is one that quotas know.
func quotaResource(name corev1.ResourceName) bool {
	return standardResource(name) && name != corev1.ResourceStorage
}

// scopeCheck checks which objects a quota counts.
type scopeCheck struct {
	p    *problems
	spec *corev1.ResourceQuotaSpec
}

func (c *scopeCheck) scopes(at *field.Path) {
	for _, scope := range c.spec.Scopes {
		if !knownScope(scope) {
			c.p.invalid(at, c.spec.Scopes, "unsupported scope")
		}
		c.resources(at, scope, c.spec.Scopes)
	}
	c.conflicts(at, sets.New(c.spec.Scopes...))
}

// resources reports each limited resource that a scope says nothing about.
func (c *scopeCheck) resources(at *field.Path, scope corev1.ResourceQuotaScope, shown any) {
	for _, name := range slices.Sorted(maps.Keys(c.spec.Hard)) {
		if quotaResource(name) && !scopeFits(scope, name) {
			c.p.invalid(at, shown, "unsupported scope applied to resource")
		}
	}
}

func (c *scopeCheck) conflicts(at *field.Path, scopes sets.Set[corev1.ResourceQuotaScope]) {
	if scopes.HasAll(corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort) {
		c.p.invalid(at, c.spec.Scopes, "conflicting scopes")
	}
	if scopes.HasAll(corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating) {
		c.p.invalid(at, c.spec.Scopes, "conflicting scopes")
	}
}

func (c *scopeCheck) selector(at *field.Path) {
	scopes := sets.New[corev1.ResourceQuotaScope]()
	for _, e := range c.spec.ScopeSelector.MatchExpressions {
		scopes.Insert(e.ScopeName)
		if !knownScope(e.ScopeName) {
			c.p.invalid(at.Child("scopeName"), e.ScopeName, "unsupported scope")
		}
		c.resources(at, e.ScopeName, c.spec.ScopeSelector)
		if knownScope(e.ScopeName) && !valued(e.ScopeName) && e.Operator != corev1.ScopeSelectorOpExists {
			c.p.invalid(at.Child("operator"), e.Operator, "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity")
		}
		switch e.Operator {
		case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
			if len(e.Values) == 0 {
				c.p.required(at.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")
			}
		case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
			if len(e.Values) != 0 {
				c.p.invalid(at.Child("values"), e.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")
			}
		default:
			c.p.invalid(at.Child("operator"), e.Operator, "not a valid selector operator")
		}
	}
	c.conflicts(at, scopes)
}

// valued scopes are those whose objects have a class of that name.
func valued(s corev1.ResourceQuotaScope) bool {
	return s == corev1.ResourceQuotaScopePriorityClass || s == corev1.ResourceQuotaScopeVolumeAttributesClass
}

func knownScope(s corev1.ResourceQuotaScope) bool {
	switch s {
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort,
		corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return true
	}
	return valued(s)
}

// scopeFits says whether objects within a scope use a resource.
func scopeFits(s corev1.ResourceQuotaScope, name corev1.ResourceName) bool {
	switch {
	case !knownScope(s):
		return true
	case s == corev1.ResourceQuotaScopeBestEffort:
		return name == corev1.ResourcePods
	case s == corev1.ResourceQuotaScopeVolumeAttributesClass:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
	}
	switch name {
	case corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory:
		return true
	}
	return false
}
