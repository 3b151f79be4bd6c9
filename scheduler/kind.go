package scheduler

import (
	"encoding/binary"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/plugin"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Pods of one kind are those that every rule treats alike: what is worked out
// for one holds for all. A replica set's pods are of one kind; so are those of a
// daemon set, but for the node that each of them names.

// appendKind appends what tells kinds apart. Shared is false where the pod is of
// a kind of its own, since it has volumes, which no other pod has.
func appendKind(key []byte, pod *snapshot.Pod, s *snapshot.Snapshot, pinned bool) (_ []byte, shared bool) {
	spec := &pod.Object.Spec
	if len(pod.Claims) > 0 || spec.NodeName != "" {
		return key, false
	}
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.RBD != nil || v.ISCSI != nil {
			return key, false
		}
	}
	key = appendText(key, pod.Key.Namespace)
	key = appendNumbers(key, int64(pod.Priority), int64(s.Vocabulary()))
	key = appendResources(key, &pod.Requests)
	key = appendNumbers(key, pod.Rated.MilliCPU, pod.Rated.Memory)
	for _, p := range pod.Ports {
		key = appendNumbers(appendText(appendText(key, p.IP), string(p.Protocol)), int64(p.Number))
	}
	key = append(key, '|')
	for i := range spec.Tolerations {
		t := &spec.Tolerations[i]
		for _, text := range []string{t.Key, string(t.Operator), t.Value, string(t.Effect)} {
			key = appendText(key, text)
		}
	}
	key = append(key, '|')
	if key, shared = appendPlacing(key, spec, pinned); !shared {
		return key, false
	}
	key = appendImages(key, spec)
	return appendLabels(key, pod, s), true
}

func appendPlacing(key []byte, spec *corev1.PodSpec, pinned bool) ([]byte, bool) {
	if !pinned {
		for _, k := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
			key = appendText(appendText(key, k), spec.NodeSelector[k])
		}
	}
	key = append(key, '|')
	if a := spec.Affinity; a != nil {
		if pinned {
			a = &corev1.Affinity{PodAffinity: a.PodAffinity, PodAntiAffinity: a.PodAntiAffinity}
		}
		if a.NodeAffinity != nil || a.PodAffinity != nil || a.PodAntiAffinity != nil {
			data, err := a.Marshal()
			if err != nil {
				return key, false
			}
			key = appendText(key, string(data))
		}
	}
	key = append(key, '|')
	for i := range spec.TopologySpreadConstraints {
		data, err := spec.TopologySpreadConstraints[i].Marshal()
		if err != nil {
			return key, false
		}
		key = appendText(key, string(data))
	}
	return append(key, '|'), true
}

func appendImages(key []byte, spec *corev1.PodSpec) []byte {
	for i := range spec.InitContainers {
		key = appendText(key, spec.InitContainers[i].Image)
	}
	for i := range spec.Containers {
		key = appendText(key, spec.Containers[i].Image)
	}
	for i := range spec.Volumes {
		if image := spec.Volumes[i].Image; image != nil {
			key = appendText(key, image.Reference)
		}
	}
	return append(key, '|')
}

// appendLabels appends those labels that any term asks for: most pods of a
// stateful set or a job differ only in one that none does.
func appendLabels(key []byte, pod *snapshot.Pod, s *snapshot.Snapshot) []byte {
	var by func(k string) bool
	if spread := pod.Object.Spec.TopologySpreadConstraints; len(spread) > 0 {
		by = func(k string) bool { return spreads(spread, k) }
	} else if selector := s.Workloads.Selector(pod.Object); selector != nil {
		key = appendText(key, selector.String())
	}
	mentioned := make([]string, 0, 8)
	for k := range pod.Object.Labels {
		if s.Mentioned(k) || pod.Social.Mentions(k) || by != nil && by(k) {
			mentioned = append(mentioned, k)
		}
	}
	slices.Sort(mentioned)
	for _, k := range mentioned {
		key = appendText(appendText(key, k), pod.Object.Labels[k])
	}
	return key
}

// spreads tells whether a constraint asks for the label.
func spreads(constraints []corev1.TopologySpreadConstraint, label string) bool {
	for i := range constraints {
		c := &constraints[i]
		if slices.Contains(c.MatchLabelKeys, label) {
			return true
		}
		if c.LabelSelector == nil {
			continue
		}
		if _, ok := c.LabelSelector.MatchLabels[label]; ok {
			return true
		}
		for j := range c.LabelSelector.MatchExpressions {
			if c.LabelSelector.MatchExpressions[j].Key == label {
				return true
			}
		}
	}
	return false
}

func appendText(key []byte, text string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(text))), text...)
}

func appendNumbers(key []byte, numbers ...int64) []byte {
	for _, n := range numbers {
		key = binary.AppendVarint(key, n)
	}
	return key
}

func appendResources(key []byte, r *snapshot.Resources) []byte {
	key = appendNumbers(key, r.MilliCPU, r.Memory, r.Ephemeral, int64(len(r.Others)))
	for i := range r.Others {
		key = appendNumbers(appendText(key, string(r.Others[i].Name)), r.Others[i].Value)
	}
	return key
}

// pin tells whether the pod may go to few nodes only, so that it is of one kind
// with others but for their names. Constraints that count the nodes that its
// affinity matches are not for such kinds.
func pin(pod *snapshot.Pod) bool {
	_, restricted := plugin.NamedNodes(&pod.Object.Spec)
	return restricted && len(pod.Object.Spec.TopologySpreadConstraints) == 0
}
