package validate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// podAnnotations checks the annotations that once were fields.
func podAnnotations(p *problems, at *field.Path, annotations map[string]string, spec *corev1.PodSpec) {
	if value, ok := annotations[corev1.MirrorPodAnnotationKey]; ok && spec.NodeName == "" {
		p.invalid(at.Key(corev1.MirrorPodAnnotationKey), value, "must set spec.nodeName if mirror pod annotation is set")
	}
	if value, ok := annotations[corev1.PodDeletionCost]; ok && !isDeletionCost(value) {
		p.invalid(at.Key(corev1.PodDeletionCost), value, "must be a 32bit integer")
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		name, ok := strings.CutPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix)
		if !ok {
			continue
		}
		if !hasContainer(spec, name) {
			p.invalid(at.Key(key), name, "container not found")
		}
		if value != "" && value != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault &&
			value != corev1.DeprecatedAppArmorBetaProfileNameUnconfined &&
			!strings.HasPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix) {
			p.invalid(at.Key(key), value, fmt.Sprintf("invalid AppArmor profile name: %q", value))
		}
	}
}

// podAnnotationsUpdate: some annotations are made once and stay.
func podAnnotationsUpdate(p *problems, at *field.Path, now, was map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(was)) {
		value := was[key]
		if got, ok := now[key]; ok && got == value {
			continue
		}
		if strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
			p.forbidden(at.Key(key), "may not remove or update AppArmor annotations")
		}
		if key == corev1.MirrorPodAnnotationKey {
			p.forbidden(at.Key(key), "may not remove or update mirror pod annotation")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, ok := was[key]; ok {
			continue
		}
		if strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
			p.forbidden(at.Key(key), "may not add AppArmor annotations")
		}
		if key == corev1.MirrorPodAnnotationKey {
			p.forbidden(at.Key(key), "may not add mirror pod annotation")
		}
	}
}

// isDeletionCost says whether a pod's deletion cost (KEP-2255) is a 32 bit
// number in its plain form.
func isDeletionCost(value string) bool {
	_, err := strconv.ParseInt(value, 10, 32)
	plain := strings.TrimPrefix(value, "-")
	return err == nil && !strings.HasPrefix(value, "+") && (plain == "0" || !strings.HasPrefix(plain, "0"))
}

func hasContainer(spec *corev1.PodSpec, name string) bool {
	found := false
	eachContainer(spec, nil, func(c *corev1.Container, _ *field.Path) { found = found || c.Name == name })
	return found
}
