package resource

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func preparePod(req Request, pod, old *corev1.Pod) {
	switch {
	case old == nil:
		preparePodCreate(req, pod)
	case req.Subresource == "status":
		preparePodStatus(pod, old)
	case req.Subresource == "ephemeralcontainers", req.Subresource == "resize":
		dropAlphaFields(&pod.Spec)
	default:
		// A client that does not know pod-level resources does not clear them.
		if pod.Spec.Resources == nil && old.Spec.Resources != nil {
			pod.Spec.Resources = old.Spec.Resources.DeepCopy()
		}
		dropAlphaFields(&pod.Spec)
	}
}

func preparePodCreate(req Request, pod *corev1.Pod) {
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	dropAlphaFields(&pod.Spec)
	if len(pod.Spec.SchedulingGates) > 0 {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			LastTransitionTime: req.Now,
			Message:            "Scheduling is blocked due to non-empty scheduling gates",
		}}
	}
	mergeMatchLabelKeys(pod)
	copyAppArmor(pod)
	defaultPodLevel(&pod.Spec)
	pod.Status.QOSClass = QOSClass(&pod.Spec)
}

// preparePodStatus keeps what agents may not change, or drop because they do not
// know it.
func preparePodStatus(pod, old *corev1.Pod) {
	pod.OwnerReferences = old.OwnerReferences
	s, was := &pod.Status, &old.Status
	setIfEmpty(&s.QOSClass, was.QOSClass)
	setIfEmpty(&s.ObservedGeneration, was.ObservedGeneration)
	if s.ResourceClaimStatuses == nil {
		s.ResourceClaimStatuses = was.ResourceClaimStatuses
	}
	if s.ExtendedResourceClaimStatus == nil {
		s.ExtendedResourceClaimStatus = was.ExtendedResourceClaimStatus
	}
	if s.NodeAllocatableResourceClaimStatuses == nil {
		s.NodeAllocatableResourceClaimStatuses = was.NodeAllocatableResourceClaimStatuses
	}
	dropAlphaStatus(s, was)
	for i := range s.Conditions {
		if c := PodCondition(old, s.Conditions[i].Type); c != nil {
			setIfEmpty(&s.Conditions[i].ObservedGeneration, c.ObservedGeneration)
		}
	}
}

// mergeMatchLabelKeys turns the label keys of affinity terms and spread
// constraints into requirements with the pod's own values (KEP-3633, KEP-3243),
// so that the scheduler sees selectors alone.
func mergeMatchLabelKeys(pod *corev1.Pod) {
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		requireLabels(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn, pod.Labels)
	}
	for _, t := range podAffinityTerms(&pod.Spec) {
		requireLabels(t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn, pod.Labels)
		requireLabels(t.LabelSelector, t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn, pod.Labels)
	}
}

func podAffinityTerms(s *corev1.PodSpec) []*corev1.PodAffinityTerm {
	if s.Affinity == nil {
		return nil
	}
	var required [][]corev1.PodAffinityTerm
	var preferred [][]corev1.WeightedPodAffinityTerm
	if a := s.Affinity.PodAffinity; a != nil {
		required = append(required, a.RequiredDuringSchedulingIgnoredDuringExecution)
		preferred = append(preferred, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := s.Affinity.PodAntiAffinity; a != nil {
		required = append(required, a.RequiredDuringSchedulingIgnoredDuringExecution)
		preferred = append(preferred, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	var terms []*corev1.PodAffinityTerm
	for _, list := range required {
		for i := range list {
			terms = append(terms, &list[i])
		}
	}
	for _, list := range preferred {
		for i := range list {
			terms = append(terms, &list[i].PodAffinityTerm)
		}
	}
	return terms
}

func requireLabels(s *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator, labels map[string]string) {
	if s == nil {
		return // it matches nothing, and so it stays
	}
	for _, key := range keys {
		if value, ok := labels[key]; ok {
			s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{
				Key: key, Operator: op, Values: []string{value},
			})
		}
	}
}

// copyAppArmor turns the annotations of before 1.30 into the field (KEP-24).
func copyAppArmor(pod *corev1.Pod) {
	var ofPod *corev1.AppArmorProfile
	if pod.Spec.SecurityContext != nil {
		ofPod = pod.Spec.SecurityContext.AppArmorProfile
	}
	for _, c := range allContainers(&pod.Spec) {
		value, ok := pod.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]
		if !ok || c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			continue
		}
		profile := appArmorProfile(value)
		if profile == nil || equality.Semantic.DeepEqual(profile, ofPod) {
			continue
		}
		if c.SecurityContext == nil {
			c.SecurityContext = &corev1.SecurityContext{}
		}
		c.SecurityContext.AppArmorProfile = profile
	}
}

func appArmorProfile(annotation string) *corev1.AppArmorProfile {
	local, isLocal := strings.CutPrefix(annotation, corev1.DeprecatedAppArmorBetaProfileNamePrefix)
	switch {
	case annotation == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	case annotation == corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	case isLocal && local != "" && local == strings.TrimSpace(local):
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &local}
	}
	return nil
}

// deletePod ends a pod gracefully where a node has to stop it. A second delete
// never gives it more time.
func deletePod(_ Request, pod *corev1.Pod, opts *metav1.DeleteOptions) DeleteAction {
	var wished *int64
	if opts != nil {
		wished = opts.GracePeriodSeconds
	}
	if pod.DeletionTimestamp != nil {
		current := pod.DeletionGracePeriodSeconds
		if current == nil {
			return DeleteAction{}
		}
		if wished == nil || *wished >= *current {
			grace := *current
			return DeleteAction{Grace: &grace}
		}
	} else if wished == nil {
		wished = pod.Spec.TerminationGracePeriodSeconds
	}
	if pod.Spec.NodeName == "" || PodTerminal(pod) || wished == nil || *wished == 0 {
		return DeleteAction{Grace: new(int64)}
	}
	grace := max(*wished, 1) // negative values stand for at once, but gracefully
	return DeleteAction{Grace: &grace}
}
