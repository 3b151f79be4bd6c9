package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// Where local nodes are, as commands tell it.
const (
	nodeServer      = "server" // the first node, in the server's own process
	nodeRunning     = "running"
	nodeStopped     = "stopped"
	nodePartitioned = "partitioned"
	nodeElsewhere   = "elsewhere" // on another machine
)

// ListNodes tells of all nodes of a cluster, and of those on this machine whether
// they run.
func ListNodes(ctx context.Context, config Config) ([]NodeStatus, error) {
	status, err := ReadStatus(ctx, config)
	return status.Nodes, err
}

// machineOf tells of each local node whether it runs.
func machineOf(config Config) (map[string]string, error) {
	local, err := localNodes(config)
	if err != nil {
		return nil, err
	}
	of := map[string]string{}
	if config.Node {
		of[config.NodeName] = nodeServer
	}
	for _, n := range local {
		switch {
		case !running(n.paths()):
			of[n.NodeName] = nodeStopped
		case n.lan.IsCut(n.NodeName):
			of[n.NodeName] = nodePartitioned
		default:
			of[n.NodeName] = nodeRunning
		}
	}
	return of, nil
}

// AddNode makes one more local node of a running cluster and returns its name when
// it is ready. An empty name takes the next that is free.
func AddNode(ctx context.Context, config Config, name string, progress Progress) (string, error) {
	if err := mustRun(config); err != nil {
		return "", err
	}
	n, err := newLocalNode(config, name)
	if err != nil {
		return "", err
	}
	return n.NodeName, startLocalNodes(ctx, config, []localNode{n}, true, time.Now(), progress)
}

// StartNode turns a local node on, and returns when it is ready.
func StartNode(ctx context.Context, config Config, name string, progress Progress) error {
	if err := mustRun(config); err != nil {
		return err
	}
	n, err := findLocalNode(config, name)
	if err != nil {
		return err
	}
	return startLocalNodes(ctx, config, []localNode{n}, true, time.Now(), progress)
}

// StopNode turns a local node off at once, as when a machine loses its power: the
// cluster is told nothing.
func StopNode(ctx context.Context, config Config, name string) error {
	n, err := findLocalNode(config, name)
	if err != nil {
		return err
	}
	return n.powerOff(ctx)
}

// CutNode cuts the link of a local node, whose pods go on, or heals it.
func CutNode(config Config, name string, cut bool) error {
	n, err := findLocalNode(config, name)
	if err != nil {
		return err
	}
	return n.lan.Cut(name, cut)
}

// RemoveNode turns a local node off, and removes it and its data. The cluster
// forgets the node if it runs.
func RemoveNode(ctx context.Context, config Config, name string) error {
	n, err := findLocalNode(config, name)
	if err != nil {
		return err
	}
	if err := n.powerOff(ctx); err != nil {
		return err
	}
	if running(config.Paths()) {
		api, err := newAdmin(config.Paths())
		if err != nil {
			return err
		}
		if err := api.do(ctx, http.MethodDelete, "/api/v1/nodes/"+name, nil); err != nil && !errors.Is(err, errNotFound) {
			return err
		}
	}
	if err := os.RemoveAll(n.DataDir); err != nil {
		return fmt.Errorf("remove the directory of node %s: %w", name, err)
	}
	return nil
}

func mustRun(config Config) error {
	if !running(config.Paths()) {
		return fmt.Errorf("cluster %q does not run: start it with \"skiff up\"", config.Name)
	}
	return nil
}

// findLocalNode finds a node that this machine can do something to.
func findLocalNode(config Config, name string) (localNode, error) {
	nodes, err := localNodes(config)
	if err != nil {
		return localNode{}, err
	}
	for _, n := range nodes {
		if n.NodeName == name {
			return n, nil
		}
	}
	if config.Node && name == config.NodeName {
		return localNode{}, fmt.Errorf("node %q runs within the cluster's server: \"skiff down\" stops both", name)
	}
	return localNode{}, fmt.Errorf("cluster %q has no node %q on this machine: \"skiff node list\" names them", config.Name, name)
}
