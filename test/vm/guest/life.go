package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shared is the folder that some pods mount.
const shared = "/root"

func liveness(g *guest) error {
	err := g.eventually(func() error {
		pod, err := g.client.CoreV1().Pods("default").Get(g.ctx, "sick", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := pod.Status.ContainerStatuses; len(s) != 1 || s[0].RestartCount == 0 {
			return fmt.Errorf("the container has not been restarted: %+v", s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.client.CoreV1().Pods("default").Delete(g.ctx, "sick", metav1.DeleteOptions{})
}

func readiness(g *guest) error {
	ready := func(want corev1.ConditionStatus) func() error {
		return func() error {
			pod, err := g.running("late")
			if err != nil {
				return err
			}
			for _, c := range pod.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == want {
					return nil
				}
			}
			return fmt.Errorf("Ready is not %s: %+v", want, pod.Status.Conditions)
		}
	}
	if err := g.eventually(ready(corev1.ConditionFalse)); err != nil {
		return err
	}
	if _, err := kubectl("", "exec", "late", "--", "touch", "/tmp/ready"); err != nil {
		return err
	}
	return g.eventually(ready(corev1.ConditionTrue))
}

func memoryVolume(*guest) error {
	out, err := kubectl("", "exec", "visitor", "--", "grep", " /memory ", "/proc/mounts")
	if err == nil && !(strings.Contains(out, " tmpfs ") && strings.Contains(out, "size=8192k")) {
		err = fmt.Errorf("it is mounted as %q", out)
	}
	return err
}

func configMap(g *guest) error {
	if _, err := kubectl("", "patch", "configmap", "course", "--patch", `{"data": {"heading": "south"}}`); err != nil {
		return err
	}
	return g.eventually(func() error {
		out, err := kubectl("", "exec", "visitor", "--", "cat", "/course/heading")
		if err == nil && out != "south" {
			err = fmt.Errorf("the pod reads %q", out)
		}
		return err
	})
}

func execAndLogs(*guest) error {
	out, err := kubectl("what is sent", "exec", "-i", "visitor", "--", "cat")
	if err == nil && out != "what is sent" {
		err = fmt.Errorf("exec cat of %q printed %q", "what is sent", out)
	}
	if err != nil {
		return err
	}
	out, err = kubectl("", "logs", "visitor")
	if err == nil && out != "on board\n" {
		err = fmt.Errorf("logs printed %q", out)
	}
	return err
}

func hostPath(*guest) error {
	out, err := kubectl("", "exec", "visitor", "--", "cat", "/shared/from-the-host")
	if err == nil && out != "ahoy" {
		err = fmt.Errorf("the pod reads %q", out)
	}
	return err
}

func graceful(g *guest) error {
	pod, _, err := g.groups("polite")
	if err != nil {
		return err
	}
	if _, err := kubectl("", "delete", "pod", "polite", "--timeout=50s"); err != nil {
		return err
	}
	text, err := os.ReadFile(shared + "/from-polite")
	if err != nil {
		return fmt.Errorf("the pod did not hear that it was to end: %w", err)
	}
	if string(text) != "farewell\n" {
		return fmt.Errorf("the pod wrote %q", text)
	}
	return g.eventually(func() error {
		if _, err := os.Stat(pod); err == nil {
			return fmt.Errorf("%s is still there", pod)
		}
		return nil
	})
}

// containers are those that should run until the end.
func (g *guest) containers() (map[string]string, error) {
	all := map[string]string{}
	for _, name := range []string{"burstable", "guaranteed", "visitor", "guarded"} {
		pod, err := g.running(name)
		if err != nil {
			return nil, err
		}
		for _, s := range pod.Status.ContainerStatuses {
			all[name] = fmt.Sprintf("%s started anew %d times", s.ContainerID, s.RestartCount)
		}
	}
	return all, nil
}

// killed: server and agent are one process. Its death is noticed neither by
// containers nor by those who ask a service, and a new one takes over.
func killed(g *guest) error {
	before, err := g.containers()
	if err != nil {
		return err
	}
	var state struct{ PID int }
	text, err := os.ReadFile(data + "/supervise.pid.state")
	if err != nil {
		return err
	}
	if err := errors.Join(json.Unmarshal(text, &state), syscall.Kill(state.PID, syscall.SIGKILL)); err != nil {
		return fmt.Errorf("kill process %d: %w", state.PID, err)
	}
	if _, err := visit("http://10.0.2.15:30080/name"); err != nil {
		return fmt.Errorf("the service does not answer while the server is gone: %w", err)
	}
	err = g.eventually(func() error {
		_, err := g.client.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(g.ctx)
		return err
	})
	if err != nil {
		return err
	}
	// The new agent acts: it gets a pod running.
	if _, err := kubectl("", "run", "after", "--image=localhost/busybox:1", "--command", "--", "sleep", "36000"); err != nil {
		return err
	}
	if err := g.eventually(func() error { _, err := g.running("after"); return err }); err != nil {
		return err
	}
	after, err := g.containers()
	if err == nil && !maps.Equal(before, after) {
		err = fmt.Errorf("containers were\n%v and are\n%v", before, after)
	}
	return err
}
