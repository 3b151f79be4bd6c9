package node

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/resource/validate"
	"github.com/skiff-sh/skiff/view"
)

// The annotations by which tools know static pods and what shows them.
const (
	sourceAnnotation       = "kubernetes.io/config.source"
	manifestHashAnnotation = "kubernetes.io/config.hash"
)

// Manifests is what a node knows of the files of its static pods, by path.
type Manifests struct {
	// Good holds the last good pod of each file: one that cannot be used any more
	// does not end its pod.
	Good map[string]*corev1.Pod
	// Bad holds what is wrong with a file now.
	Bad map[string]string
}

// Next takes in the files as they are now, and returns which problems are new.
func (m Manifests) Next(files map[string][]byte, node string) (next Manifests, problems []string) {
	next = Manifests{Good: map[string]*corev1.Pod{}, Bad: map[string]string{}}
	of := map[view.Key]string{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		pod, err := Manifest(path, files[path], node)
		if err != nil {
			next.Bad[path] = err.Error()
			pod = m.Good[path]
		}
		if pod == nil {
			continue
		}
		next.Good[path] = pod
		key := view.KeyOf(pod)
		if first, taken := of[key]; taken {
			next.Bad[path] = fmt.Sprintf("%s: metadata.name: %s has the pod %s too; rename one", path, first, key)
			continue
		}
		of[key] = path
	}
	for _, path := range slices.Sorted(maps.Keys(next.Bad)) {
		if problem := next.Bad[path]; m.Bad[path] != problem {
			problems = append(problems, problem)
		}
	}
	return next, problems
}

// Pods returns the pods to run. Of two files with one pod the first has it.
func (m Manifests) Pods() map[view.Key]*corev1.Pod {
	pods := map[view.Key]*corev1.Pod{}
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(m.Good))) {
		pods[view.KeyOf(m.Good[path])] = m.Good[path]
	}
	return pods
}

// Manifest makes the pod that a node runs from a file. Its UID follows from the
// contents: the pod is known again after a restart, and one that changed is
// another pod.
func Manifest(file string, data []byte, node string) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(data, pod); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if pod.APIVersion != "v1" || pod.Kind != "Pod" {
		return nil, fmt.Errorf("%s: apiVersion %q and kind %q: a static pod has v1 and Pod", file, pod.APIVersion, pod.Kind)
	}
	pod.TypeMeta = metav1.TypeMeta{}
	if pod.Name == "" {
		return nil, fmt.Errorf("%s: metadata.name: is empty; give the pod a name", file)
	}
	pod.Name += "-" + node
	if problems := validation.IsDNS1123Subdomain(pod.Name); len(problems) > 0 {
		return nil, fmt.Errorf("%s: metadata.name: %q: %s", file, pod.Name, problems[0])
	}
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	if problems := validation.IsDNS1123Label(pod.Namespace); len(problems) > 0 {
		return nil, fmt.Errorf("%s: metadata.namespace: %q: %s", file, pod.Namespace, problems[0])
	}
	if what := resource.PodRefersTo(pod); what != "" {
		return nil, fmt.Errorf("%s: spec: refers to %s; a static pod may not refer to objects of the API: use a hostPath volume or plain env", file, what)
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending}
	pod.Spec.NodeName = node
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute})
	pod.Spec.Priority = systemPriority(pod.Spec.PriorityClassName)
	resource.Pods.Info.Default(pod)
	if problems := validate.Pod(pod); len(problems) > 0 {
		return nil, fmt.Errorf("%s: %w", file, problems.ToAggregate())
	}
	pod.Status.QOSClass = QOSClass(pod)
	return identified(file, pod)
}

// identified gives a pod of a file the UID that its contents have.
func identified(file string, pod *corev1.Pod) (*corev1.Pod, error) {
	pod.UID = ""
	contents, err := json.Marshal(pod)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	sum := sha256.Sum256(append([]byte(file+"\n"), contents...))
	pod.UID = types.UID(hex.EncodeToString(sum[:16]))
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[sourceAnnotation] = "file"
	pod.Annotations[manifestHashAnnotation] = string(pod.UID)
	return pod, nil
}

// systemPriority is the priority of the classes that every cluster has. Others
// are objects of the API, which may be away.
func systemPriority(class string) *int32 {
	priorities := map[string]int32{"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
	if p, ok := priorities[class]; ok {
		return &p
	}
	return nil
}

func isMirror(pod *corev1.Pod) bool {
	_, is := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return is
}

// isStatic reports whether a pod is one of a file; what shows it in the API is not.
func isStatic(pod *corev1.Pod) bool {
	return pod.Annotations[sourceAnnotation] == "file" && !isMirror(pod) && pod.ResourceVersion == ""
}

// mirrors reports whether a pod of the API shows a static pod as it now is.
func mirrors(mirror, static *corev1.Pod) bool {
	return mirror.DeletionTimestamp == nil && mirror.Annotations[corev1.MirrorPodAnnotationKey] == string(static.UID)
}

// MirrorAction is what to do about the pod that shows a static pod in the API.
type MirrorAction string

// The actions about a mirror pod.
const (
	KeepMirror   MirrorAction = "keep"
	CreateMirror MirrorAction = "create"
	DeleteMirror MirrorAction = "delete"
)

// Mirror decides how the API comes to show a static pod. Either may be nil.
func Mirror(static, mirror *corev1.Pod) MirrorAction {
	switch {
	case mirror == nil && static != nil:
		return CreateMirror
	case mirror != nil && (static == nil || !mirrors(mirror, static)):
		return DeleteMirror
	default:
		return KeepMirror
	}
}

// MirrorOf returns what shows a static pod in the API.
func MirrorOf(static *corev1.Pod, node *corev1.Node) *corev1.Pod {
	pod := static.DeepCopy()
	pod.UID = ""
	pod.Status = corev1.PodStatus{}
	pod.Annotations[corev1.MirrorPodAnnotationKey] = string(static.UID)
	yes := true
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: &yes}}
	return pod
}
