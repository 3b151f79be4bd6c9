package horizontalpodautoscaler

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	podresources "k8s.io/component-helpers/resource"

	"github.com/skiff-sh/skiff/resource"
)

// Upstream's defaults of the controller manager's flags.
const (
	// cpuInitialization is how long a pod may burn CPU to start
	// (--horizontal-pod-autoscaler-cpu-initialization-period).
	cpuInitialization = 5 * time.Minute
	// initialReadiness is how soon after its start a pod that is not ready counts as
	// never having been (--horizontal-pod-autoscaler-initial-readiness-delay).
	initialReadiness = 30 * time.Second
)

// group is what of pods their load can be told. Pods that end are in none.
type group struct {
	ready   int
	unready []string // their samples say nothing of the load
	missing []string // without a sample
}

// groupOf sorts pods. Only CPU is used more at the start than by the load, so only
// for it does readiness count.
func groupOf(pods []*corev1.Pod, have map[string]Sample, cpu bool, now time.Time) (g group, over []string) {
	for _, p := range pods {
		sample, found := have[p.Name]
		switch {
		case p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed:
			over = append(over, p.Name)
		case p.Status.Phase == corev1.PodPending:
			g.unready = append(g.unready, p.Name)
		case !found:
			g.missing = append(g.missing, p.Name)
		case cpu && starting(p, sample, now):
			g.unready = append(g.unready, p.Name)
		default:
			g.ready++
		}
	}
	return g, over
}

// starting says that a sample of CPU tells of a pod's start.
func starting(p *corev1.Pod, sample Sample, now time.Time) bool {
	ready := resource.PodCondition(p, corev1.PodReady)
	if ready == nil || p.Status.StartTime == nil {
		return true
	}
	not, since := ready.Status == corev1.ConditionFalse, ready.LastTransitionTime.Time
	if p.Status.StartTime.Add(cpuInitialization).After(now) {
		return not || sample.At.Before(since.Add(sample.Window))
	}
	return not && p.Status.StartTime.Add(initialReadiness).After(since)
}

// readyPods counts those that serve.
func readyPods(pods []*corev1.Pod) (n int) {
	for _, p := range pods {
		c := resource.PodCondition(p, corev1.PodReady)
		if p.Status.Phase == corev1.PodRunning && c != nil && c.Status == corev1.ConditionTrue {
			n++
		}
	}
	return n
}

// requests returns what each pod, or the named container of each, asks for, in
// thousandths.
func requests(pods []*corev1.Pod, container string, name corev1.ResourceName) (map[string]int64, error) {
	out := make(map[string]int64, len(pods))
	for _, p := range pods {
		n, err := requestOf(p, container, name)
		if err != nil {
			return nil, err
		}
		out[p.Name] = n
	}
	return out, nil
}

func requestOf(p *corev1.Pod, container string, name corev1.ResourceName) (int64, error) {
	if container == "" && podresources.IsPodLevelRequestsSet(p) {
		n, ok := podresources.PodRequests(p, podresources.PodResourcesOptions{})[name]
		if !ok {
			return 0, fmt.Errorf("missing pod-level request for %s in Pod %s", name, p.Name)
		}
		return n.MilliValue(), nil
	}
	containers := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	sum, found := int64(0), false
	for _, c := range containers {
		if container != "" && container != c.Name {
			continue
		}
		n, ok := c.Resources.Requests[name]
		if !ok {
			return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", name, c.Name, p.Name)
		}
		sum, found = sum+n.MilliValue(), true
	}
	if container != "" && !found {
		return 0, fmt.Errorf("container %s not found in Pod %s", container, p.Name)
	}
	return sum, nil
}
