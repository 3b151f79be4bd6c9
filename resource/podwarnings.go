package resource

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// warnPod warns on create only: pods are changed by programs, often.
func warnPod(pod, old *corev1.Pod) []string {
	if old != nil {
		return nil
	}
	w := hostnameWarning("the Pod's hostname", pod.Name)
	return append(w, podWarnings(nil, &pod.Spec, &pod.ObjectMeta)...)
}

// warnTemplate warns of the template of a kind that makes pods.
func warnTemplate(name string, t, old *corev1.PodTemplateSpec) []string {
	var w []string
	if old == nil {
		w = hostnameWarning("Pod names and hostnames", name)
	}
	return append(w, podWarnings(field.NewPath("spec", "template"), &t.Spec, &t.ObjectMeta)...)
}

// podWarnings warns of what is deprecated, without effect, or not what its
// author can have meant. The path is nil for a pod.
func podWarnings(at *field.Path, s *corev1.PodSpec, meta *metav1.ObjectMeta) []string {
	w := &warnings{spec: s, at: at.Child("spec")}
	w.nodeLabels()
	w.annotations(at.Child("metadata", "annotations"), meta.Annotations)
	w.volumes()
	w.duplicates()
	w.containers()
	w.ports()
	w.selectors()
	return w.all
}

type warnings struct {
	spec *corev1.PodSpec
	at   *field.Path // of the spec
	all  []string
}

func (w *warnings) add(format string, args ...any) {
	w.all = append(w.all, fmt.Sprintf(format, args...))
}

// oldNodeLabel says what became of a label of nodes.
func oldNodeLabel(key string) (string, bool) {
	m, ok := map[string]string{
		"beta.kubernetes.io/arch":                       `deprecated since v1.14; use "kubernetes.io/arch" instead`,
		"beta.kubernetes.io/os":                         `deprecated since v1.14; use "kubernetes.io/os" instead`,
		"failure-domain.beta.kubernetes.io/region":      `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
		"failure-domain.beta.kubernetes.io/zone":        `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
		"beta.kubernetes.io/instance-type":              `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
		"app.kubernetes.io/created-by":                  `deprecated since v1.9`,
		"scheduler.alpha.kubernetes.io/preferAvoidPods": `deprecated since v1.22; use Taints and Tolerations instead`,
		"node-role.kubernetes.io/master":                `use "node-role.kubernetes.io/control-plane" instead`,
	}[key]
	return m, ok
}

func (w *warnings) nodeLabels() {
	for _, key := range slices.Sorted(maps.Keys(w.spec.NodeSelector)) {
		if m, ok := oldNodeLabel(key); ok {
			w.add("%s: %s", w.at.Child("nodeSelector").Key(key), m)
		}
	}
	if a := w.spec.Affinity; a != nil && a.NodeAffinity != nil {
		path := w.at.Child("affinity", "nodeAffinity")
		if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			for i := range r.NodeSelectorTerms {
				w.term(path.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms").Index(i), &r.NodeSelectorTerms[i], false)
			}
		}
		preferred := a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution
		for i := range preferred {
			w.term(path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference"), &preferred[i].Preference, true)
		}
	}
	for i, c := range w.spec.TopologySpreadConstraints {
		path := w.at.Child("topologySpreadConstraints").Index(i)
		if m, ok := oldNodeLabel(c.TopologyKey); ok {
			w.add("%s: %s is %s", path.Child("topologyKey"), c.TopologyKey, m)
		}
		if c.LabelSelector == nil {
			w.add("%s: a null labelSelector results in matching no pod", path.Child("labelSelector"))
		}
	}
}

func (w *warnings) term(at *field.Path, t *corev1.NodeSelectorTerm, checkValues bool) {
	for i, e := range t.MatchExpressions {
		path := at.Child("matchExpressions").Index(i)
		if m, ok := oldNodeLabel(e.Key); ok {
			w.add("%s: %s is %s", path.Child("key"), e.Key, m)
		}
		if !checkValues {
			continue
		}
		for j, value := range e.Values {
			for _, m := range validation.IsValidLabelValue(value) {
				w.add("%s: %s is invalid, %s", path.Child("values").Index(j), value, m)
			}
		}
	}
}

func (w *warnings) annotations(at *field.Path, annotations map[string]string) {
	for _, a := range []struct{ key, message string }{
		{"scheduler.alpha.kubernetes.io/critical-pod", `non-functional in v1.16+; use the "priorityClassName" field instead`},
		{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
	} {
		if _, ok := annotations[a.key]; ok {
			w.add("%s: %s", at.Key(a.key), a.message)
		}
	}
	seccomp := func(key string, has bool) {
		if _, ok := annotations[key]; ok && !has {
			w.add(`%s: non-functional in v1.27+; use the "seccompProfile" field instead`, at.Key(key))
		}
	}
	seccomp(corev1.SeccompPodAnnotationKey, w.spec.SecurityContext != nil && w.spec.SecurityContext.SeccompProfile != nil)
	for _, c := range allContainers(w.spec) {
		seccomp(corev1.SeccompContainerAnnotationKeyPrefix+c.Name, c.SecurityContext != nil && c.SecurityContext.SeccompProfile != nil)
		key := corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name
		if _, ok := annotations[key]; ok && (c.SecurityContext == nil || c.SecurityContext.AppArmorProfile == nil) {
			w.add(`%s: deprecated since v1.30; use the "appArmorProfile" field instead`, at.Key(key))
		}
	}
}

func (w *warnings) volumes() {
	for i := range w.spec.Volumes {
		v, at := &w.spec.Volumes[i], w.at.Child("volumes").Index(i)
		for _, old := range []struct {
			name    string
			set     bool
			message string
		}{
			{"photonPersistentDisk", v.PhotonPersistentDisk != nil, "deprecated in v1.11, non-functional in v1.16+"},
			{"gitRepo", v.GitRepo != nil, "deprecated in v1.11, and disabled by default in v1.33+"},
			{"scaleIO", v.ScaleIO != nil, "deprecated in v1.16, non-functional in v1.22+"},
			{"flocker", v.Flocker != nil, "deprecated in v1.22, non-functional in v1.25+"},
			{"storageOS", v.StorageOS != nil, "deprecated in v1.22, non-functional in v1.25+"},
			{"quobyte", v.Quobyte != nil, "deprecated in v1.22, non-functional in v1.25+"},
			{"glusterfs", v.Glusterfs != nil, "deprecated in v1.25, non-functional in v1.26+"},
			{"cephfs", v.CephFS != nil, "deprecated in v1.28, non-functional in v1.31+"},
			{"rbd", v.RBD != nil, "deprecated in v1.28, non-functional in v1.31+"},
		} {
			if old.set {
				w.add("%s: %s", at.Child(old.name), old.message)
			}
		}
		if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			w.claim(at.Child("ephemeral", "volumeClaimTemplate", "spec"), &v.Ephemeral.VolumeClaimTemplate.Spec)
		}
	}
}

// duplicates warns of list entries that hide others.
func (w *warnings) duplicates() {
	ips := map[string]bool{}
	for i, a := range w.spec.HostAliases {
		path := w.at.Child("hostAliases").Index(i).Child("ip")
		if ips[a.IP] {
			w.add("%s: duplicate ip %q", path, a.IP)
		}
		ips[a.IP] = true
		w.all = append(w.all, validation.GetWarningsForIP(path, a.IP)...)
	}
	names := map[string]bool{}
	for i, s := range w.spec.ImagePullSecrets {
		path := w.at.Child("imagePullSecrets").Index(i).Child("name")
		if names[s.Name] {
			w.add("%s: duplicate name %q", path, s.Name)
		}
		if s.Name == "" {
			w.add("%s: invalid empty name %q", path, "")
		}
		names[s.Name] = true
	}
	if w.spec.DNSConfig != nil {
		for i, server := range w.spec.DNSConfig.Nameservers {
			w.all = append(w.all, validation.GetWarningsForIP(w.at.Child("dnsConfig", "nameservers").Index(i), server)...)
		}
	}
}

func (w *warnings) containers() {
	bytes := []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage}
	w.fractions(w.at.Child("overhead"), w.spec.Overhead, bytes...)
	w.each(func(c *corev1.Container, at *field.Path) {
		w.fractions(at.Child("resources", "limits"), c.Resources.Limits, bytes...)
		w.fractions(at.Child("resources", "requests"), c.Resources.Requests, bytes...)
		seen := map[string]bool{}
		for i, v := range c.Env {
			// A variable may be made from its former self, and only so.
			if seen[v.Name] && (v.ValueFrom != nil || v.Value == "$("+v.Name+")" || !strings.Contains(v.Value, "$("+v.Name+")")) {
				w.add("%s: hides previous definition of %q, which may be dropped when using apply", at.Child("env").Index(i), v.Name)
			}
			seen[v.Name] = true
		}
	})
}

func (w *warnings) fractions(at *field.Path, list corev1.ResourceList, names ...corev1.ResourceName) {
	for _, name := range names {
		if q, ok := list[name]; ok && q.MilliValue()%1000 != 0 {
			w.add("%s: fractional byte value %q is invalid, must be an integer", at.Key(string(name)), q.String())
		}
	}
}

func (w *warnings) each(f func(*corev1.Container, *field.Path)) {
	for i := range w.spec.InitContainers {
		f(&w.spec.InitContainers[i], w.at.Child("initContainers").Index(i))
	}
	for i := range w.spec.Containers {
		f(&w.spec.Containers[i], w.at.Child("containers").Index(i))
	}
	for i := range w.spec.EphemeralContainers {
		f((*corev1.Container)(&w.spec.EphemeralContainers[i].EphemeralContainerCommon), w.at.Child("ephemeralContainers").Index(i))
	}
}
