package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/node/cri"
	"github.com/skiff-sh/skiff/node/probe"
)

// startContainer creates and starts a container and runs its postStart hook.
func (j *job) startContainer(ctx context.Context) outcome {
	a := j.agent
	c := containerNamed(j.pod, j.action.Container)
	fail := func(reason, message string) outcome {
		j.tell(true, c.Name, "Failed", "Error: "+message)
		return outcome{result: Result{Reason: reason, Message: message}}
	}
	config, err := j.configure(ctx, c)
	if err != nil {
		return fail("CreateContainerConfigError", cri.Message(err))
	}
	id, err := a.runtime.CreateContainer(ctx, j.action.ID, config, SandboxConfig(j.pod, j.attempt, a.host))
	if err != nil {
		return fail("CreateContainerError", cri.Message(err))
	}
	j.tell(false, c.Name, "Created", "Container created")
	if err := a.runtime.StartContainer(ctx, id); err != nil {
		return j.lookContainer(ctx, fail("RunContainerError", cri.Message(err)), j.action.ID, id)
	}
	j.tell(false, c.Name, "Started", "Container started")
	out := outcome{}
	if c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
		if err := j.hook(ctx, c, id, c.Lifecycle.PostStart); err != nil {
			j.tell(true, c.Name, "FailedPostStartHook", "PostStartHook failed")
			j.tell(false, c.Name, "Killing", "FailedPostStartHook")
			out.result = Result{Reason: "PostStartHookError", Message: err.Error()}
			if err := a.runtime.StopContainer(ctx, id, minimumGrace*time.Second); err != nil {
				a.log.Warn("a container goes on though its postStart hook failed", "container", id, "err", err)
			}
		}
	}
	return j.lookContainer(ctx, out, j.action.ID, id)
}

// configure makes the runtime's configuration of a container, and the files that
// it gets mounted.
func (j *job) configure(ctx context.Context, c *corev1.Container) (*runtimeapi.ContainerConfig, error) {
	env, err := Environment(j.facts, c, clusterView{j.view})
	if err != nil {
		return nil, err
	}
	run := Run{Attempt: j.action.Attempt, Image: j.action.Image, Env: env, Target: j.target}
	image, err := j.agent.runtime.Image(ctx, j.action.Image)
	if err != nil {
		return nil, err
	}
	if image != nil {
		if image.Uid != nil {
			run.ImageUID = &image.Uid.Value
		}
		run.ImageUser = image.Username
	}
	if run.Mounts, err = j.mounts(ctx, c, env); err != nil {
		return nil, err
	}
	run.Devices = j.devices(c)
	folder := filepath.Join(LogFolder(j.agent.config.Logs, j.pod), c.Name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("create folder of logs: %w", err)
	}
	return ContainerConfig(j.pod, c, run, j.agent.host)
}

// mounts returns what is mounted into a container: its volumes, its hosts file
// and the file of its termination message.
func (j *job) mounts(ctx context.Context, c *corev1.Container, env []Env) ([]*runtimeapi.Mount, error) {
	var out []*runtimeapi.Mount
	hosts := true
	for i := range c.VolumeMounts {
		m, err := j.volumeMount(ctx, c, i, env)
		if err != nil {
			return nil, err
		}
		hosts = hosts && m.ContainerPath != "/etc/hosts"
		out = append(out, m)
	}
	folder := j.agent.volumes.Pod(j.pod.UID)
	if hosts {
		path := filepath.Join(folder, "etc-hosts")
		text := HostsFile(j.facts, j.agent.config.ClusterDomain, j.agent.hosts)
		if err := writeOpen(path, []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("write hosts file: %w", err)
		}
		out = append(out, &runtimeapi.Mount{ContainerPath: "/etc/hosts", HostPath: path})
	}
	if c.TerminationMessagePath != "" {
		path := filepath.Join(folder, "containers", c.Name, strconv.Itoa(j.action.Attempt))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("create folder of termination message: %w", err)
		}
		if err := writeOpen(path, nil, 0o666); err != nil {
			return nil, fmt.Errorf("create termination message: %w", err)
		}
		out = append(out, &runtimeapi.Mount{ContainerPath: c.TerminationMessagePath, HostPath: path})
	}
	return out, nil
}

// writeOpen writes a file with a mode that the process's umask does not cut.
func writeOpen(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func (j *job) volumeMount(ctx context.Context, c *corev1.Container, i int, env []Env) (*runtimeapi.Mount, error) {
	m := &c.VolumeMounts[i]
	for n := range j.pod.Spec.Volumes {
		v := &j.pod.Spec.Volumes[n]
		if v.Name != m.Name {
			continue
		}
		if v.Image != nil {
			return j.imageMount(ctx, m, v, env)
		}
		out := &runtimeapi.Mount{
			ContainerPath: absolute(m.MountPath), HostPath: j.agent.volumes.Volume(j.pod.UID, v),
			Readonly: m.ReadOnly || readOnlyVolume(v),
		}
		if r := m.RecursiveReadOnly; r != nil && *r != corev1.RecursiveReadOnlyDisabled && m.ReadOnly {
			out.RecursiveReadOnly = true
		}
		if p := m.MountPropagation; p != nil {
			switch *p {
			case corev1.MountPropagationHostToContainer:
				out.Propagation = runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
			case corev1.MountPropagationBidirectional:
				out.Propagation = runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
			}
		}
		sub, err := subPath(m, env)
		if err != nil || sub == "" {
			return out, err
		}
		out.HostPath, err = j.agent.volumes.SubPath(j.pod.UID, out.HostPath, sub, c.Name, i)
		return out, err
	}
	return nil, fmt.Errorf("cannot find volume %q to mount into container %q", m.Name, c.Name)
}

func absolute(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

// readOnlyVolume reports whether the pod's containers may not write a volume,
// whatever their mounts say.
func readOnlyVolume(v *corev1.Volume) bool {
	if claim := v.PersistentVolumeClaim; claim != nil {
		return claim.ReadOnly
	}
	return v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil
}

// subPath returns the part of a volume that a mount wants, with its variables
// replaced.
func subPath(m *corev1.VolumeMount, env []Env) (string, error) {
	if m.SubPathExpr == "" {
		return m.SubPath, nil
	}
	missing := false
	sub := Expand(m.SubPathExpr, func(name string) string {
		for _, e := range env {
			if e.Name == name {
				missing = missing || e.Value == ""
				return e.Value
			}
		}
		missing = true
		return ""
	})
	if missing {
		return "", fmt.Errorf("missing value for %q", m.SubPathExpr)
	}
	return sub, nil
}

// stopContainer runs the preStop hook and stops a container, all within grace.
func (j *job) stopContainer(ctx context.Context) outcome {
	a := j.agent
	left := time.Duration(j.action.Grace) * time.Second
	c := containerNamed(j.pod, j.action.Container)
	if c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && !j.action.Force && left > 0 {
		began := time.Now()
		hookCtx, cancel := context.WithTimeout(ctx, left)
		if err := j.hook(hookCtx, c, j.action.ID, c.Lifecycle.PreStop); err != nil {
			j.tell(true, c.Name, "FailedPreStopHook", "PreStopHook failed")
		}
		cancel()
		left -= time.Since(began)
	}
	err := a.runtime.StopContainer(ctx, j.action.ID, max(left, minimumGrace*time.Second))
	if err != nil {
		return failed("KillContainerError", err)
	}
	return j.lookContainer(ctx, outcome{}, j.sandbox, j.action.ID)
}

// hook runs a lifecycle handler. Errors are for the user.
func (j *job) hook(ctx context.Context, c *corev1.Container, id string, h *corev1.LifecycleHandler) error {
	where := fmt.Sprintf("for Container %q in Pod %q failed - error: ", c.Name, formatPod(j.pod))
	switch {
	case h.Exec != nil:
		r, err := j.agent.runtime.Exec(ctx, id, h.Exec.Command, 0)
		if err == nil && r.ExitCode != 0 {
			err = fmt.Errorf("command '%s' exited with %d: %s", strings.Join(h.Exec.Command, " "), r.ExitCode, r.Stderr)
		}
		if err != nil {
			return fmt.Errorf("Exec lifecycle hook (%v) %s%s", h.Exec.Command, where, cri.Message(err))
		}
	case h.HTTPGet != nil:
		resp, err := probe.Get(ctx, h.HTTPGet, first(j.facts.PodIPs), c, "kube-lifecycle/1.37")
		if err != nil {
			return fmt.Errorf("HTTP lifecycle hook (%s) %s%w", h.HTTPGet.Path, where, err)
		}
		return resp.Body.Close()
	case h.Sleep != nil:
		timer := time.NewTimer(time.Duration(h.Sleep.Seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return fmt.Errorf("Sleep lifecycle hook (%d) %s%w", h.Sleep.Seconds, where, context.Cause(ctx))
		}
	}
	return nil
}

// execProbe is how probes run commands.
func (a *Agent) execProbe(ctx context.Context, id string, command []string, timeout time.Duration) (int32, string, error) {
	r, err := a.runtime.Exec(ctx, id, command, timeout)
	if err != nil {
		return 0, "", err
	}
	return r.ExitCode, string(r.Stdout) + string(r.Stderr), nil
}
