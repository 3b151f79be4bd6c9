package validate

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// Namespace checks a namespace, or what the subresource changed of it.
func Namespace(n *corev1.Namespace, subresource string) field.ErrorList {
	var p problems
	finalizers := field.NewPath("spec", "finalizers")
	switch subresource {
	case "status":
		phase := field.NewPath("status", "Phase")
		if n.DeletionTimestamp.IsZero() && n.Status.Phase != corev1.NamespaceActive {
			p.invalid(phase, n.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty")
		}
		if !n.DeletionTimestamp.IsZero() && n.Status.Phase != corev1.NamespaceTerminating {
			p.invalid(phase, n.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
		}
	case "finalize":
		for i, name := range n.Spec.Finalizers {
			finalizer(&p, finalizers.Index(i), string(name))
		}
	default:
		for _, name := range n.Spec.Finalizers {
			finalizer(&p, finalizers, string(name))
		}
	}
	return p.list()
}

func finalizer(p *problems, at *field.Path, name string) {
	p.add(apivalidation.ValidateFinalizerName(name, at)...)
	if !strings.Contains(name, "/") && name != string(corev1.FinalizerKubernetes) &&
		name != metav1.FinalizerOrphanDependents && name != metav1.FinalizerDeleteDependents {
		p.invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified")
	}
}

// Node checks a node.
func Node(n *corev1.Node) field.ErrorList {
	var p problems
	nodeAlways(&p, n)
	podCIDRs(&p, n.Spec.PodCIDRs)
	return p.list()
}

// nodeAlways checks what every write checks.
func nodeAlways(p *problems, n *corev1.Node) {
	taints(p, field.NewPath("metadata", "taints"), n.Spec.Taints)
	nodeResources(p, "capacity", n.Status.Capacity)
	nodeResources(p, "allocatable", n.Status.Allocatable)
	declaredFeatures(p, field.NewPath("status", "declaredFeatures"), n.Status.DeclaredFeatures)
}

func nodeResources(p *problems, name string, list corev1.ResourceList) {
	for _, r := range slices.Sorted(maps.Keys(list)) {
		quantity(p, field.NewPath("status", name, string(r)), r, list[r])
	}
}

func podCIDRs(p *problems, cidrs []string) {
	at := field.NewPath("spec", "podCIDRs")
	for i, value := range cidrs {
		p.add(validation.IsValidCIDRForLegacyField(at.Index(i), value, true, nil)...)
	}
	if len(cidrs) < 2 {
		return
	}
	if dual, err := netutils.IsDualStackCIDRStrings(cidrs); err != nil || !dual || len(cidrs) > 2 {
		p.invalid(at, cidrs, "may specify no more than one CIDR for each IP family")
	}
}

// NodeUpdate checks a change to a node or to its status. What a change to the
// node itself also has to keep is in Node.
func NodeUpdate(n, old *corev1.Node) field.ErrorList {
	var p problems
	nodeAlways(&p, n)
	spec := field.NewPath("spec")
	seen := sets.New[corev1.NodeAddress]()
	for i, a := range n.Status.Addresses {
		if seen.Has(a) {
			p.add(field.Duplicate(field.NewPath("status", "addresses").Index(i), plain(a)))
		}
		seen.Insert(a)
	}
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		p.forbidden(spec.Child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid")
	}
	if was := old.Spec.ProviderID; was != "" && n.Spec.ProviderID == "" {
		p.invalid(spec.Child("providerID"), nil, "field cannot be cleared once set")
	} else if was != "" && n.Spec.ProviderID != was {
		p.invalid(spec.Child("providerID"), nil, "field cannot be modified once set")
	}
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		p.forbidden(spec.Child("externalID"), "may not be updated")
	}
	return p.list()
}

// featureName is UpperCamelCase, with further segments after slashes.
var featureName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*(/[A-Za-z0-9]+)*$`)

func declaredFeatures(p *problems, at *field.Path, names []string) {
	for i, name := range names {
		if !featureName.MatchString(name) {
			p.invalid(at.Index(i), name, "invalid feature name \""+name+"\": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes")
		}
		switch {
		case i == 0 || name > names[i-1]:
		case name == names[i-1]:
			p.add(field.Duplicate(at.Index(i), name))
		default:
			p.invalid(at.Index(i), name, "list must be sorted alphabetically")
		}
	}
}
