package validate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// resources checks requests and limits; name checks which resources may be
// asked for.
func resources(p *problems, at *field.Path, r *corev1.ResourceRequirements, name func(*problems, *field.Path, corev1.ResourceName)) {
	compute, pages := false, false
	one := func(path *field.Path, n corev1.ResourceName, q resource.Quantity) {
		name(p, path, n)
		quantity(p, path, n, q)
		compute = compute || n == corev1.ResourceCPU || n == corev1.ResourceMemory
		if !isHugePages(n) {
			return
		}
		pages = true
		size, err := resource.ParseQuantity(strings.TrimPrefix(string(n), corev1.ResourceHugePagesPrefix))
		if err != nil || size.Sign() <= 0 || q.Value()%size.Value() != 0 {
			p.invalid(path, q.String(), fmt.Sprintf("%s is not positive integer multiple of %s", q.String(), n))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(r.Limits)) {
		one(at.Child("limits").Key(string(n)), n, r.Limits[n])
	}
	for _, n := range slices.Sorted(maps.Keys(r.Requests)) {
		q := r.Requests[n]
		one(at.Child("requests").Key(string(n)), n, q)
		overcommit := native(n) && !isHugePages(n)
		switch limit, ok := r.Limits[n]; {
		case !ok && !overcommit:
			p.required(at.Child("limits"), "Limit must be set for non overcommitable resources")
		case !ok:
		case q.Cmp(limit) != 0 && !overcommit:
			p.invalid(at.Child("requests"), q.String(), fmt.Sprintf("must be equal to %s limit of %s", n, limit.String()))
		case q.Cmp(limit) > 0:
			p.invalid(at.Child("requests"), q.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", n, limit.String()))
		}
	}
	if pages && !compute {
		p.forbidden(at, "HugePages require cpu or memory")
	}
}

// quantity checks an amount of a resource: not negative, and whole for what
// cannot be divided.
func quantity(p *problems, at *field.Path, name corev1.ResourceName, q resource.Quantity) {
	if q.Sign() < 0 {
		p.invalid(at, q.String(), "must be greater than or equal to 0")
	}
	if (countable(name) || extended(name)) && q.MilliValue()%1000 != 0 {
		p.invalid(at, q, "must be an integer")
	}
}

func containerResourceName(p *problems, at *field.Path, name corev1.ResourceName) {
	resourceName(p, at, name)
	switch {
	case !strings.Contains(string(name), "/"):
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory && name != corev1.ResourceEphemeralStorage && !isHugePages(name) {
			p.invalid(at, name, "must be a standard resource for containers")
		}
	case !native(name) && !extended(name):
		p.invalid(at, name, "doesn't follow extended resource name standard")
	}
}

func podResourceName(p *problems, at *field.Path, name corev1.ResourceName) {
	if resourceName(p, at, name) && name != corev1.ResourceCPU && name != corev1.ResourceMemory && !isHugePages(name) {
		p.add(field.NotSupported(at, name, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceHugePagesPrefix, corev1.ResourceMemory}))
	}
}

// resourceName checks the form of a name, and says whether it is good.
func resourceName(p *problems, at *field.Path, name corev1.ResourceName) bool {
	if messages := validation.IsQualifiedName(string(name)); len(messages) > 0 {
		p.invalids(at, name, messages)
		return false
	}
	if !strings.Contains(string(name), "/") && !standardResource(name) {
		p.invalid(at, name, "must be a standard resource type or fully qualified")
		return false
	}
	return true
}

func standardResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourceStorage,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceRequestsStorage, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage:
		return true
	}
	return countable(name) || isHugePages(name) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

// countable resources are objects, as quotas count them.
func countable(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return false
}

func isHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func native(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// extended resources are those of devices: example.com/gpu.
func extended(name corev1.ResourceName) bool {
	return !native(name) && !strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) &&
		len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// claimNames checks a container's references to its pod's resource claims.
func claimNames(p *problems, at *field.Path, claims []corev1.ResourceClaim, ofPod sets.Set[string]) {
	seen := sets.New[string]()
	for i, c := range claims {
		path := at.Index(i)
		if c.Name == "" {
			p.required(path, "")
			continue
		}
		key := c.Name
		if c.Request != "" {
			dnsLabel(p, path.Child("request"), c.Request)
			key += "/" + c.Request
		}
		whole := c.Request == "" && slices.ContainsFunc(seen.UnsortedList(), func(k string) bool { return strings.HasPrefix(k, c.Name+"/") })
		if seen.Has(c.Name) || seen.Has(key) || whole {
			p.add(field.Duplicate(path, key))
		}
		seen.Insert(key)
		if !ofPod.Has(c.Name) {
			err := field.NotFound(path, c.Name)
			err.Detail = "must be one of the names in pod.spec.resourceClaims"
			if len(ofPod) == 0 {
				err.Detail += " which is empty"
			} else {
				err.Detail += ": " + strings.Join(sets.List(ofPod), ", ")
			}
			p.add(err)
		}
	}
}

// resourceClaims checks a pod's claims and returns their names.
func resourceClaims(p *problems, at *field.Path, claims []corev1.PodResourceClaim) sets.Set[string] {
	names := sets.New[string]()
	for i, c := range claims {
		path := at.Index(i)
		switch {
		case c.Name == "":
			p.required(path.Child("name"), "")
		case names.Has(c.Name):
			p.add(field.Duplicate(path.Child("name"), c.Name))
		default:
			dnsLabel(p, path.Child("name"), c.Name)
			names.Insert(c.Name)
		}
		switch {
		case c.ResourceClaimName != nil && c.ResourceClaimTemplateName != nil:
			p.invalid(path, c, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
		case c.ResourceClaimName == nil && c.ResourceClaimTemplateName == nil:
			p.invalid(path, c, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
		}
		if c.ResourceClaimName != nil {
			objectName(p, path.Child("resourceClaimName"), *c.ResourceClaimName)
		}
		if c.ResourceClaimTemplateName != nil {
			objectName(p, path.Child("resourceClaimTemplateName"), *c.ResourceClaimTemplateName)
		}
	}
	return names
}
