package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// group is the control group of the cluster's pods.
const group = "/sys/fs/cgroup/skiff-default"

// groups are the control groups of a running pod of one container, and of that
// container.
func (g *guest) groups(name string) (pod, container string, err error) {
	p, err := g.running(name)
	if err != nil {
		return "", "", err
	}
	class := strings.ToLower(string(p.Status.QOSClass))
	if class == "guaranteed" {
		class = ""
	}
	pod = filepath.Join(group, class, "pod"+string(p.UID))
	_, id, _ := strings.Cut(p.Status.ContainerStatuses[0].ContainerID, "://")
	return pod, filepath.Join(pod, id), nil
}

// holds compares files of a control group with what they should say.
func holds(dir string, want map[string]string) error {
	var errs []error
	for name, value := range want {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if got := strings.TrimSpace(string(text)); err == nil && got != value {
			err = fmt.Errorf("%s/%s is %q, not %q", strings.TrimPrefix(dir, group), name, got, value)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// limits compares with what upstream's kubelet and runc write for the same pod.
func limits(g *guest) error {
	pod, container, err := g.groups("burstable")
	if err != nil {
		return err
	}
	visitor, inVisitor, err := g.groups("visitor")
	if err != nil {
		return err
	}
	return errors.Join(
		holds(pod, map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "cpu.weight": "10", "pids.max": "max"}),
		holds(container, map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "cpu.weight": "35", "pids.max": "max", "memory.swap.max": "0", "memory.oom.group": "1"}),
		holds(visitor, map[string]string{"memory.max": "max", "cpu.max": "max 100000", "cpu.weight": "1", "pids.max": "max"}),
		holds(inVisitor, map[string]string{"memory.max": "max", "cpu.max": "max 100000", "cpu.weight": "1", "memory.swap.max": "0", "memory.oom.group": "1"}),
	)
}

// reload: systemd looks at all of the tree anew.
func reload(g *guest) error {
	if _, err := run("", "systemctl", "daemon-reload"); err != nil {
		return err
	}
	return limits(g)
}

// classes: pods without requests yield to those with them, and Burstable ones
// together weigh what they ask for.
func classes(g *guest) error {
	for name, class := range map[string]corev1.PodQOSClass{"guaranteed": corev1.PodQOSGuaranteed, "burstable": corev1.PodQOSBurstable, "visitor": corev1.PodQOSBestEffort} {
		pod, err := g.running(name)
		if err != nil {
			return err
		}
		if pod.Status.QOSClass != class {
			return fmt.Errorf("pod %s is %s, not %s", name, pod.Status.QOSClass, class)
		}
	}
	pod, container, err := g.groups("guaranteed")
	if err != nil {
		return err
	}
	return errors.Join(
		holds(pod, map[string]string{"cpu.max": "10000 100000", "memory.max": "16777216", "cpu.weight": "4"}),
		holds(container, map[string]string{"cpu.max": "10000 100000", "memory.max": "16777216"}),
		g.eventually(func() error {
			return errors.Join(
				holds(group+"/besteffort", map[string]string{"cpu.weight": "1", "memory.max": "max"}),
				holds(group+"/burstable", map[string]string{"cpu.weight": "10", "memory.max": "max"}),
			)
		}),
	)
}

func usage(g *guest) error {
	return g.eventually(func() error {
		text, err := g.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/guest/proxy/stats/summary").DoRaw(g.ctx)
		if err != nil {
			return err
		}
		var summary struct {
			Pods []struct {
				PodRef struct{ Name string }
				CPU    struct{ UsageCoreNanoSeconds uint64 }
				Memory struct{ WorkingSetBytes uint64 }
			}
		}
		if err := json.Unmarshal(text, &summary); err != nil {
			return err
		}
		for _, p := range summary.Pods {
			if p.PodRef.Name == "visitor" && p.CPU.UsageCoreNanoSeconds > 0 && p.Memory.WorkingSetBytes > 0 {
				return nil
			}
		}
		return fmt.Errorf("pod visitor uses nothing by %+v", summary)
	})
}

func outOfMemory(g *guest) error {
	return g.eventually(func() error {
		pod, err := g.client.CoreV1().Pods("default").Get(g.ctx, "greedy", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, s := range pod.Status.ContainerStatuses {
			if t := s.State.Terminated; t != nil && t.Reason == "OOMKilled" && t.ExitCode == 137 && pod.Status.Phase == corev1.PodFailed {
				return nil
			}
		}
		return fmt.Errorf("the pod is %s, its containers %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
	})
}

func resize(g *guest) error {
	pod, container, err := g.groups("burstable")
	if err != nil {
		return err
	}
	const bigger = `{"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "800m", "memory": "96Mi"}}}]}}`
	if _, err := kubectl("", "patch", "pod", "burstable", "--subresource", "resize", "--patch", bigger); err != nil {
		return err
	}
	want := map[string]string{"cpu.max": "80000 100000", "memory.max": "100663296"}
	err = g.eventually(func() error { return errors.Join(holds(pod, want), holds(container, want)) })
	if err != nil {
		return err
	}
	p, err := g.running("burstable")
	if err == nil && p.Status.ContainerStatuses[0].RestartCount != 0 {
		err = errors.New("the container was restarted")
	}
	return err
}
