package resource

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ResourceQuotas is the kind ResourceQuota.
var ResourceQuotas = Define(Kind[*corev1.ResourceQuota]{
	Version: "v1", Kind: "ResourceQuota", Resource: "resourcequotas", Short: []string{"quota"}, Namespaced: true,
	ShowsDeleted: true,
	Default: func(q *corev1.ResourceQuota) {
		for _, list := range []corev1.ResourceList{q.Spec.Hard, q.Status.Hard, q.Status.Used} {
			roundUp(list)
		}
	},
	Validate: func(req Request, q, old *corev1.ResourceQuota) field.ErrorList {
		if req.Subresource == "status" {
			return validate.ResourceQuotaStatus(q)
		}
		return validate.ResourceQuota(q, old)
	},
	Warn:   warnResourceQuota,
	Status: func(to, from *corev1.ResourceQuota) { to.Status = from.Status },
	Columns: []Column[*corev1.ResourceQuota]{
		nameColumn[*corev1.ResourceQuota](),
		column("Request", "Request represents a minimum amount of cpu/memory that a container may consume.",
			func(q *corev1.ResourceQuota) any { return quotaUse(q, false) }),
		column("Limit", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
			func(q *corev1.ResourceQuota) any { return quotaUse(q, true) }),
		ageColumn[*corev1.ResourceQuota](),
	},
})

// quotaUse writes what is used of each resource, of limits or of all others.
func quotaUse(q *corev1.ResourceQuota, limits bool) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		if strings.HasPrefix(string(name), "limits.") == limits {
			used, hard := q.Status.Used[name], q.Status.Hard[name]
			parts = append(parts, fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String()))
		}
	}
	return strings.Join(parts, ", ")
}

// warnResourceQuota tells of requests that may exceed their limits.
func warnResourceQuota(q, old *corev1.ResourceQuota) []string {
	if old != nil {
		return nil
	}
	var all []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceStorage, corev1.ResourceEphemeralStorage} {
		requestName := "requests." + name
		request, ok := q.Spec.Hard[requestName]
		if !ok && (name == corev1.ResourceCPU || name == corev1.ResourceMemory) {
			if request, ok = q.Spec.Hard[name]; ok {
				requestName = name
			}
		}
		limit, limited := q.Spec.Hard["limits."+name]
		if ok && limited && request.Cmp(limit) > 0 {
			all = append(all, fmt.Sprintf("ResourceQuota %s (%s) should be less than %s (%s)", requestName, request.String(), "limits."+name, limit.String()))
		}
	}
	return all
}
