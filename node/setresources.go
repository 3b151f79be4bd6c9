package node

import (
	"context"
	"errors"
	"fmt"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/node/cgroup"
)

// setResources gives the pod's control group, and what runs in it, the resources
// that the pod has been granted. A group is widened before what is in it, and
// narrowed after.
func (j *job) setResources(ctx context.Context) outcome {
	parent, want := CgroupParent(j.pod, j.agent.host), podResources(j.pod)
	var out outcome
	err := j.roomToShrink(ctx)
	if err == nil {
		err = cgroup.Widen(parent, want)
	}
	for i := range j.running {
		c := &j.running[i]
		spec := containerNamed(j.pod, c.Name)
		if err != nil || spec == nil || isEphemeral(j.pod, c.Name) || c.Limits == nil || *c.Limits == limitsOf(j.pod, spec) {
			continue
		}
		err = j.agent.runtime.UpdateResources(ctx, c.ID, containerResources(j.pod, spec, j.agent.host))
		out = j.lookContainer(ctx, out, c.Sandbox, c.ID)
	}
	if err == nil {
		err = cgroup.Make(parent, want)
	}
	if err != nil {
		f := failed("ResizeError", err)
		j.tell(true, "", "ResizeError", resizeMessage("Pod resize error", j.pod, j.pod.Generation, f.result.Message))
		out.result = f.result
	}
	return out
}

// roomToShrink refuses to lower a limit of memory below what is in use: the
// kernel would end processes.
func (j *job) roomToShrink(ctx context.Context) error {
	var errs []error
	for i := range j.running {
		c := &j.running[i]
		spec := containerNamed(j.pod, c.Name)
		if spec == nil || c.Limits == nil {
			continue
		}
		limit := limitsOf(j.pod, spec).Memory
		if limit == 0 || c.Limits.Memory != 0 && limit >= c.Limits.Memory {
			continue
		}
		r, err := j.agent.runtime.Runtime.ContainerStats(ctx, &runtimeapi.ContainerStatsRequest{ContainerId: c.ID})
		if err != nil {
			errs = append(errs, fmt.Errorf("missing container %q memory usage", c.Name))
		} else if used := r.GetStats().GetMemory().GetUsageBytes().GetValue(); used >= uint64(limit) {
			errs = append(errs, fmt.Errorf("attempting to set container %q memory limit (%d) below current usage (%d)", c.Name, limit, used))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("cannot decrease memory limits: %w", errors.Join(errs...))
	}
	return nil
}

// weighClasses gives the classes' control groups the weights of the pods in
// them, if these have changed.
func (a *Agent) weighClasses() {
	if !a.reweigh {
		return
	}
	a.reweigh = false
	for class, shares := range classShares(a.living(nil)) {
		if err := cgroup.Make(classGroup(class, a.host), &runtimeapi.LinuxContainerResources{CpuShares: shares}); err != nil {
			a.log.Warn("the pods of a class have the wrong weight", "class", class, "err", err)
		}
	}
}
