package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
)

// Status is what "skiff status" tells of a cluster.
type Status struct {
	Name       string       `json:"name"`
	DataDir    string       `json:"dataDir"`
	State      string       `json:"state"` // "absent", "stopped", "starting", "running"
	Server     string       `json:"server,omitempty"`
	Kubeconfig string       `json:"kubeconfig,omitempty"`
	Nodes      []NodeStatus `json:"nodes,omitempty"`
	Pods       int          `json:"pods"`
	PodsReady  int          `json:"podsReady"`
	// MemoryBytes is the resident memory of the server, of further nodes' agents on
	// this machine, and of their supervisors;
	// containerd and the pods are not counted.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	Restarts    int   `json:"restarts"`
}

// NodeStatus is one node in a Status.
type NodeStatus struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Address string `json:"address,omitempty"`
	Pods    string `json:"podCIDR,omitempty"`
	// Machine is "server", "running", "stopped" or "partitioned" for a node on this
	// machine, or "elsewhere".
	Machine string `json:"machine"`
}

// supervisorState is the file that the supervisor writes.
type supervisorState struct {
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
	LastExit string `json:"lastExit"`
}

func readSupervisorState(paths Paths) (supervisorState, error) {
	var state supervisorState
	data, err := os.ReadFile(paths.SupervisorState())
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("decode %s: %w", paths.SupervisorState(), err)
	}
	return state, nil
}

// ReadStatus looks at a cluster on this machine.
func ReadStatus(ctx context.Context, config Config) (Status, error) {
	paths := config.Paths()
	s := Status{Name: config.Name, DataDir: config.DataDir, State: "absent"}
	if !fileExists(paths.Settings()) {
		return s, nil
	}
	s.State = "stopped"
	if !running(paths) {
		return s, nil
	}
	s.State = "starting"
	local, err := localNodes(config)
	if err != nil {
		return s, err
	}
	if state, err := readSupervisorState(paths); err == nil {
		s.Restarts = state.Restarts
		s.MemoryBytes = residentMemory(state.PID) + residentMemory(parentOf(state.PID))
	}
	api, err := newAdmin(paths)
	if err != nil {
		return s, nil //nolint:nilerr // the server has not come that far
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := api.get(ctx, "/readyz", nil); err != nil {
		return s, nil //nolint:nilerr // it is starting
	}
	s.State, s.Server, s.Kubeconfig = "running", api.server, paths.Kubeconfig()
	for _, n := range local {
		if state, err := readSupervisorState(n.paths()); err == nil {
			s.MemoryBytes += residentMemory(state.PID) + residentMemory(parentOf(state.PID))
		}
	}
	machines, err := machineOf(config)
	if err != nil {
		return s, err
	}
	return s, s.readObjects(ctx, api, machines)
}

func (s *Status) readObjects(ctx context.Context, api *admin, machines map[string]string) error {
	var nodes corev1.NodeList
	if err := api.get(ctx, "/api/v1/nodes", &nodes); err != nil {
		return err
	}
	for _, n := range nodes.Items {
		ready := resource.NodeReady(&n)
		address := ""
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				address = a.Address
			}
		}
		machine := cmp.Or(machines[n.Name], nodeElsewhere)
		s.Nodes = append(s.Nodes, NodeStatus{Name: n.Name, Ready: ready, Address: address, Pods: n.Spec.PodCIDR, Machine: machine})
	}
	var pods corev1.PodList
	if err := api.get(ctx, "/api/v1/pods", &pods); err != nil {
		return err
	}
	s.Pods = len(pods.Items)
	for _, p := range pods.Items {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				s.PodsReady++
			}
		}
	}
	return nil
}

// residentMemory is a process's memory in bytes, 0 if it is gone.
func residentMemory(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func parentOf(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The command, in parentheses, may hold anything; the state and the parent
	// follow it.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil || parent == 1 {
		return 0
	}
	return parent
}

// Clusters lists the names of the clusters on this machine.
func Clusters() []string {
	matches, err := filepath.Glob(filepath.Join(filepath.Dir(DefaultPaths("").Data), "*", filepath.Base(DefaultPaths("").Settings())))
	if err != nil {
		return nil
	}
	var names []string
	for _, m := range matches {
		names = append(names, filepath.Base(filepath.Dir(m)))
	}
	return names
}
