// Package cri is what the node agent asks of a container runtime: the calls of
// the Container Runtime Interface it needs, without their envelopes, and with
// errors that callers can tell apart.
package cri

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client speaks to one runtime.
type Client struct {
	Runtime runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient
}

// The most that a call may take: a runtime that hangs must not hold up a pod for
// ever. Pulls have no limit but the runtime's own, for want of progress.
const (
	callLimit    = 2 * time.Minute
	sandboxLimit = 4 * time.Minute
)

// NotFound reports whether the runtime does not know the sandbox, container or
// image.
func NotFound(err error) bool { return code(err) == codes.NotFound }

func code(err error) codes.Code {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Code()
	}
	return codes.Unknown
}

// Message returns what the runtime said, without the words of the transport: the
// text that goes into statuses and events.
func Message(err error) string {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Message()
	}
	return err.Error()
}

// Version returns the runtime's name and version, as in "containerd://2.4.2".
func (c *Client) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := c.Runtime.Version(ctx, &runtimeapi.VersionRequest{})
	if err != nil {
		return "", fmt.Errorf("read runtime version: %w", err)
	}
	version := r.RuntimeVersion
	if len(version) > 0 && version[0] == 'v' {
		version = version[1:]
	}
	return r.RuntimeName + "://" + version, nil
}

// Unready returns what of the runtime's two required conditions, RuntimeReady and
// NetworkReady, is not met, with its message. Others are advice to operators.
func (c *Client) Unready(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := c.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		return nil, fmt.Errorf("read runtime status: %w", err)
	}
	unmet := map[string]string{}
	for _, condition := range r.Status.GetConditions() {
		required := condition.Type == runtimeapi.RuntimeReady || condition.Type == runtimeapi.NetworkReady
		if required && !condition.Status {
			unmet[condition.Type] = condition.Message
		}
	}
	return unmet, nil
}

// RunSandbox creates and starts a pod sandbox and returns its ID.
func (c *Client) RunSandbox(ctx context.Context, config *runtimeapi.PodSandboxConfig, handler string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sandboxLimit)
	defer cancel()
	r, err := c.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
	if err != nil {
		return "", err
	}
	return r.PodSandboxId, nil
}

// Sandbox returns the state of a sandbox.
func (c *Client) Sandbox(ctx context.Context, id string) (*runtimeapi.PodSandboxStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := c.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
	if err != nil {
		return nil, err
	}
	return r.Status, nil
}

// StopSandbox ends every process of a sandbox and frees its address. A sandbox
// that is gone is no error.
func (c *Client) StopSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := c.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
	return unlessGone(err)
}

// RemoveSandbox removes a sandbox and its containers. A sandbox that is gone is
// no error.
func (c *Client) RemoveSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := c.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
	return unlessGone(err)
}

// CreateContainer creates a container in a sandbox and returns its ID.
func (c *Client) CreateContainer(ctx context.Context, sandbox string, config *runtimeapi.ContainerConfig, sandboxConfig *runtimeapi.PodSandboxConfig) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := c.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId: sandbox, Config: config, SandboxConfig: sandboxConfig,
	})
	if err != nil {
		return "", err
	}
	return r.ContainerId, nil
}

// StartContainer starts a created container.
func (c *Client) StartContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := c.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
	return err
}

// StopContainer sends the container's stop signal and kills it after grace
// (whole seconds). A container that is gone is no error.
func (c *Client) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+callLimit)
	defer cancel()
	_, err := c.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: int64(grace / time.Second)})
	return unlessGone(err)
}

// RemoveContainer removes a container. A container that is gone is no error.
func (c *Client) RemoveContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := c.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: id})
	return unlessGone(err)
}

// Container returns the state of a container.
func (c *Client) Container(ctx context.Context, id string) (*runtimeapi.ContainerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := c.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		return nil, err
	}
	return r.Status, nil
}

// UpdateResources sets the resources of a container that runs.
func (c *Client) UpdateResources(ctx context.Context, id string, r *runtimeapi.LinuxContainerResources) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	_, err := c.Runtime.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: id, Linux: r})
	return err
}

// Exec runs a command in a container and waits for it; timeout is in whole
// seconds, 0 is none.
func (c *Client) Exec(ctx context.Context, id string, command []string, timeout time.Duration) (*runtimeapi.ExecSyncResponse, error) {
	return c.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: int64(timeout / time.Second)})
}

// Image returns an image that is on the node, or nil.
func (c *Client) Image(ctx context.Context, image string) (*runtimeapi.Image, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	r, err := c.Images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: image}})
	if err != nil {
		return nil, err
	}
	return r.Image, nil
}

// Pull fetches an image and returns the reference it is known by.
func (c *Client) Pull(ctx context.Context, image string, auth *runtimeapi.AuthConfig, sandbox *runtimeapi.PodSandboxConfig) (string, error) {
	r, err := c.Images.PullImage(ctx, &runtimeapi.PullImageRequest{
		Image: &runtimeapi.ImageSpec{Image: image}, Auth: auth, SandboxConfig: sandbox,
	})
	if err != nil {
		return "", err
	}
	return r.ImageRef, nil
}

// Pod is what the runtime holds of one pod.
type Pod struct {
	Sandbox    *runtimeapi.PodSandboxStatus
	Containers []*runtimeapi.ContainerStatus
}

// List returns every sandbox with its containers.
func (c *Client) List(ctx context.Context) ([]Pod, error) {
	list, err := c.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	containers, err := c.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	pods := make([]Pod, 0, len(list.Items))
	index := map[string]int{}
	for _, item := range list.Items {
		sandbox, err := c.Sandbox(ctx, item.Id)
		if NotFound(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read sandbox %s: %w", item.Id, err)
		}
		index[item.Id] = len(pods)
		pods = append(pods, Pod{Sandbox: sandbox})
	}
	for _, item := range containers.Containers {
		i, ok := index[item.PodSandboxId]
		if !ok {
			continue
		}
		container, err := c.Container(ctx, item.Id)
		if NotFound(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read container %s: %w", item.Id, err)
		}
		pods[i].Containers = append(pods[i].Containers, container)
	}
	return pods, nil
}

func unlessGone(err error) error {
	if NotFound(err) {
		return nil
	}
	return err
}
