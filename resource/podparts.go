package resource

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var podParts = []Part[*corev1.Pod]{
	{Name: "ephemeralcontainers", KeepMetadata: true, Copy: func(to, from *corev1.Pod) {
		to.Spec.EphemeralContainers = from.Spec.EphemeralContainers
	}},
	{Name: "resize", KeepMetadata: true, Copy: copyPodResources},
}

// Verbs of connections: those of a stream, and those of a proxy, whose methods
// are the visitor's own.
var (
	streamVerbs = []string{"create", "get"}
	proxyVerbs  = []string{"create", "delete", "get", "patch", "update"}
)

func coreKind(kind string) schema.GroupVersionKind { return corev1.SchemeGroupVersion.WithKind(kind) }

var podAttached = []Attached{
	{Name: "attach", Kind: coreKind("PodAttachOptions"), Verbs: streamVerbs},
	{Name: "binding", Kind: coreKind("Binding"), Verbs: []string{"create"}},
	{Name: "eviction", Kind: policyv1.SchemeGroupVersion.WithKind("Eviction"), Verbs: []string{"create"}},
	{Name: "exec", Kind: coreKind("PodExecOptions"), Verbs: streamVerbs},
	{Name: "log", Kind: coreKind("Pod"), Verbs: []string{"get"}},
	{Name: "portforward", Kind: coreKind("PodPortForwardOptions"), Verbs: streamVerbs},
	{Name: "proxy", Kind: coreKind("PodProxyOptions"), Verbs: proxyVerbs, Paths: true},
}

// copyPodResources copies resources and their policies (KEP-1287). Containers
// that were added, removed or renamed come along, for validation to refuse.
func copyPodResources(to, from *corev1.Pod) {
	sameName := func(a, b corev1.Container) bool { return a.Name == b.Name }
	if !slices.EqualFunc(to.Spec.Containers, from.Spec.Containers, sameName) ||
		!slices.EqualFunc(to.Spec.InitContainers, from.Spec.InitContainers, sameName) {
		to.Spec = from.Spec
		return
	}
	take := func(to, from []corev1.Container) {
		for i := range to {
			to[i].Resources, to[i].ResizePolicy = from[i].Resources, from[i].ResizePolicy
		}
	}
	take(to.Spec.Containers, from.Spec.Containers)
	take(to.Spec.InitContainers, from.Spec.InitContainers)
	// A client that does not know pod-level resources does not clear them.
	if from.Spec.Resources != nil {
		to.Spec.Resources = from.Spec.Resources
		defaultPodLevel(&to.Spec)
	}
}
