package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/lan"
	"github.com/skiff-sh/skiff/pki"
)

// localNode is a node of a cluster of this machine that lives in a network
// namespace, with an agent, a container engine and directories of its own: to the
// cluster it is a machine.
type localNode struct {
	AgentConfig
	lan     lan.Config
	runtime string
}

// lan is the network of the cluster's local nodes.
func (c *Config) lan() lan.Config {
	n := c.nodeConfig(netip.Addr{})
	return lan.Config{
		Bridge: lanPrefix + n.shortID(), Table: n.table() + "-nodes", CIDR: c.NodeCIDR, Pods: clusterRange(c.PodCIDR),
	}
}

// localNodes reads what local nodes a cluster has, running or not, by name.
func localNodes(c Config) ([]localNode, error) {
	entries, err := os.ReadDir(c.Paths().Nodes())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the cluster's nodes: %w", err)
	}
	var nodes []localNode
	for _, e := range entries {
		dir := filepath.Join(c.Paths().Nodes(), e.Name())
		agent, err := ReadAgentSettings(Paths{Data: dir}.Agent())
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was being made, or removed
		}
		if err != nil {
			return nil, err
		}
		agent.DataDir = dir // the cluster's directory may have been moved
		nodes = append(nodes, localNode{agent, c.lan(), c.Runtime})
	}
	return nodes, nil
}

// ReadAgentSettings reads how a local node joins.
func ReadAgentSettings(file string) (AgentConfig, error) {
	var config AgentConfig
	data, err := os.ReadFile(file)
	if err != nil {
		return config, fmt.Errorf("read a node's settings: %w", err)
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return config, fmt.Errorf("%s is not a node's settings: %w", file, err)
	}
	return config, nil
}

// newLocalNode makes a node's directory and gives it an address. An empty name
// takes the next that is free.
func newLocalNode(c Config, name string) (localNode, error) {
	nodes, err := localNodes(c)
	if err != nil {
		return localNode{}, err
	}
	taken := []string{}
	if c.Node {
		taken = append(taken, c.NodeName)
	}
	address := c.lan().Gateway().Next()
	for _, n := range nodes { // an address is as free as no node has it
		taken = append(taken, n.NodeName)
	}
	for slices.ContainsFunc(nodes, func(n localNode) bool { return n.Address == address }) {
		address = address.Next()
	}
	if !c.NodeCIDR.Contains(address.Next()) { // the last is for broadcasts
		return localNode{}, fmt.Errorf("no address is left in %s: remove a node, or choose a larger range with --node-cidr", c.NodeCIDR)
	}
	if name == "" {
		name = nextName(c.NodeName, taken)
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return localNode{}, fmt.Errorf("node name %q: %s", name, strings.Join(problems, "; "))
	}
	if slices.Contains(taken, name) {
		return localNode{}, fmt.Errorf("node %q is there already: choose another name", name)
	}
	n := localNode{AgentConfig{
		TokenFile: c.Paths().JoinToken(), NodeName: name, NodeListen: defaultNodeListen,
		DataDir: filepath.Join(c.Paths().Nodes(), name), ID: c.id() + "-" + name, Address: address,
	}, c.lan(), c.Runtime}
	return n, n.save(c)
}

// save writes the node's files: those that its agent reads, and those that
// commands find it by. What the cluster decides is as the cluster has it now.
func (n *localNode) save(c Config) error {
	server, err := c.serverForNodes()
	if err != nil {
		return err
	}
	n.Server, n.Failover, n.Registries = server, c.Failover, c.Registries
	if err := os.MkdirAll(n.DataDir, 0o711); err != nil {
		return fmt.Errorf("make the directory of node %s: %w", n.NodeName, err)
	}
	settings := n.settings()
	settings.ServiceCIDR, settings.Domain = c.ServiceCIDR, c.Domain // until it has joined
	if before, err := LoadConfig(n.paths()); err == nil {
		settings.PodCIDR = before.PodCIDR
	}
	if err := settings.Save(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(n.AgentConfig, "", "  ")
	if err != nil {
		return fmt.Errorf("encode a node's settings: %w", err)
	}
	return pki.WriteFile(n.paths().Agent(), append(data, '\n'))
}

func (n *localNode) paths() Paths { return Paths{Data: n.DataDir} }

// settings are the node's as far as its directories and names go.
func (n *localNode) settings() Config {
	return Config{
		Name: agentName, ID: n.ID, DataDir: n.DataDir, Node: true, NodeName: n.NodeName, NodeListen: n.NodeListen, Runtime: n.runtime,
	}
}

func (n *localNode) config() NodeConfig {
	settings := n.settings()
	return settings.nodeConfig(n.Address)
}

// nextName counts on from the first node's name.
func nextName(first string, taken []string) string {
	base := strings.TrimSuffix(first, "-1")
	for i := 2; ; i++ {
		if name := fmt.Sprintf("%s-%d", base, i); !slices.Contains(taken, name) {
			return name
		}
	}
}

// serverForNodes is the URL at which local nodes find the API server.
func (c *Config) serverForNodes() (string, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		return "", fmt.Errorf("--listen %q: further nodes need a port that stays; name one", c.Listen)
	}
	address, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && address.IsUnspecified():
		address = c.lan().Gateway()
	case err != nil || address.IsLoopback():
		return "", fmt.Errorf("--listen %q: further nodes cannot reach it; listen on all addresses, as %s", c.Listen, defaultListen)
	}
	return "https://" + net.JoinHostPort(address.String(), port), nil
}

// plug gives the node its network, after what all nodes share.
func (n *localNode) plug(c Config) error {
	shared := c.nodeConfig(netip.Addr{})
	leases, err := network.LockLeases(shared.network().State) // one at a time; kernel settings are noted there
	if err != nil {
		return err
	}
	defer leases.Unlock()
	if err := n.lan.Ensure(); err != nil {
		return err
	}
	if err := network.Forward(shared.network()); err != nil {
		return err
	}
	return n.lan.Connect(n.NodeName, n.pin(), n.Address)
}

// pin is the file that holds the node's network namespace.
func (n *localNode) pin() string {
	config := n.config()
	return config.namespace()
}

// start starts the node's agent, if it does not run.
func (n *localNode) start(c Config) error {
	if running(n.paths()) {
		return nil
	}
	if err := errors.Join(n.save(c), n.plug(c)); err != nil {
		return err
	}
	return lan.Within(n.pin(), func() error {
		return startSupervisor(n.runtime, n.paths(), "agent", "--settings", n.paths().Agent())
	})
}

// powerOff ends all that runs of the node at once, as when a machine loses its
// power. What is on its disk stays. It succeeds when the node is off.
func (n *localNode) powerOff(ctx context.Context) error {
	config := n.config()
	err := errors.Join(
		killLeft(ctx, config),
		unmountBelow(n.DataDir), n.lan.Disconnect(n.NodeName, n.pin()), unmountBelow(config.runDir()),
		removeGroups(ctx, config.group()), network.RemoveCache(config.network()),
	)
	if err == nil {
		err = os.RemoveAll(config.runDir())
	}
	for _, file := range []string{n.paths().SupervisorPID(), n.paths().SupervisorState()} {
		if rerr := os.Remove(file); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	if err != nil {
		return fmt.Errorf("turn off node %s: %w", n.NodeName, err)
	}
	return nil
}
