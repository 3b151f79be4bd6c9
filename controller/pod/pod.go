// Package pod holds what controllers ask of pods: is it ready, does it count,
// whose is it, and what is made of a template. All of it is pure.
package pod

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// Available says that p has been ready for minReady. Where it is ready but not
// long enough, wait is what is left.
func Available(p *corev1.Pod, minReady time.Duration, now time.Time) (available bool, wait time.Duration) {
	c := resource.PodCondition(p, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return false, 0
	}
	if minReady == 0 {
		return true, 0
	}
	if c.LastTransitionTime.IsZero() {
		return false, 0
	}
	wait = c.LastTransitionTime.Add(minReady).Sub(now)
	return wait <= 0, max(0, wait)
}

// Name returns base and five random letters, within the length of a label.
func Name(base string, rnd *rand.Rand) string {
	const suffix, longest = 5, 63
	if len(base) > longest-suffix {
		base = base[:longest-suffix]
	}
	name := make([]byte, 0, len(base)+suffix)
	name = append(name, base...)
	for range suffix {
		name = append(name, resource.NameLetters[rnd.IntN(len(resource.NameLetters))])
	}
	return string(name)
}

// FromTemplate returns the pod that owner makes of a template. Its name is
// chosen here and not by the server, so that a plan knows it.
func FromTemplate(template *corev1.PodTemplateSpec, owner metav1.Object, kind *resource.Info, rnd *rand.Rand) *corev1.Pod {
	return Named(Name(prefix(owner), rnd), template, owner, kind)
}

// prefix is what the names of an owner's pods begin with.
func prefix(owner metav1.Object) string { return owner.GetName() + "-" }

// Named returns the pod of a name that owner makes of a template.
func Named(name string, template *corev1.PodTemplateSpec, owner metav1.Object, kind *resource.Info) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, GenerateName: prefix(owner), Namespace: owner.GetNamespace(),
			Labels:          maps.Clone(template.Labels),
			Annotations:     maps.Clone(template.Annotations),
			Finalizers:      slices.Clone(template.Finalizers),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind.GVK)},
		},
		Spec: *template.Spec.DeepCopy(),
	}
}

// Adopt returns the operation that makes owner the controller of obj, and gives
// it the finalizers.
func Adopt(kind *resource.Info, obj resource.Object, owner metav1.Object, ownerKind *resource.Info, finalizers ...string) client.Op {
	refs := append(slices.Clone(obj.GetOwnerReferences()), *metav1.NewControllerRef(owner, ownerKind.GVK))
	all := slices.Clone(obj.GetFinalizers())
	for _, f := range finalizers {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return owners(kind, obj, refs, all)
}

// Release returns the operation that takes obj from the owner with uid, and
// the finalizers from obj.
func Release(kind *resource.Info, obj resource.Object, uid types.UID, finalizers ...string) client.Op {
	refs := slices.DeleteFunc(slices.Clone(obj.GetOwnerReferences()), func(r metav1.OwnerReference) bool { return r.UID == uid })
	rest := slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool { return slices.Contains(finalizers, f) })
	return owners(kind, obj, refs, rest)
}

// owners replaces the owner references, and the finalizers where they differ, of
// this very state of obj: a merge patch replaces a list whole, so someone else's
// change in between must refuse it.
func owners(kind *resource.Info, obj resource.Object, refs []metav1.OwnerReference, finalizers []string) client.Op {
	meta := map[string]any{"uid": obj.GetUID(), "resourceVersion": obj.GetResourceVersion(), "ownerReferences": nil}
	if len(refs) > 0 {
		meta["ownerReferences"] = refs
	}
	if !slices.Equal(finalizers, obj.GetFinalizers()) {
		meta["finalizers"] = finalizers
	}
	data, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		panic(fmt.Sprintf("marshal owner references: %v", err)) // plain data
	}
	return client.Op{
		Verb: resource.Patch, Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		Patch: data, PatchType: types.MergePatchType,
	}
}
