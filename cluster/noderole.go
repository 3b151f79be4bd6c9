package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/dns"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/image"
	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/route"
	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/node/containerd"
	"github.com/skiff-sh/skiff/node/cri"
	nodeapi "github.com/skiff-sh/skiff/node/server"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/proxy"
	"github.com/skiff-sh/skiff/proxy/health"
	"github.com/skiff-sh/skiff/proxy/nft"
)

// NodeConfig is what a machine needs to know to be a node, wherever the API
// server is.
type NodeConfig struct {
	ID          string // tells this cluster's links, tables and groups from another's
	DataDir     string
	Name        string
	Address     netip.Addr
	Listen      string // address and port of the agent's own API
	ServiceCIDR netip.Prefix
	PodCIDR     netip.Prefix // what the Node asks for; invalid: whatever it is given
	ClusterCIDR netip.Prefix // all nodes' pods
	Domain      string
	DNSStubs    []dns.Stub
	Runtime     string
	Registries  string
	Labels      map[string]string
	Taints      []corev1.Taint
	Manifests   string // folder of static pods
	Eviction    node.EvictionConfig
	Lease       time.Duration // of a node that fences itself; 0 of others
	Routes      bool          // the node routes to others' pods; local nodes leave it to their machine
	LocalNodes  netip.Prefix  // addresses of the machine's local nodes
}

// nodeConfig is the node of a cluster that runs here as a whole.
func (c *Config) nodeConfig(address netip.Addr) NodeConfig {
	return NodeConfig{
		ID: c.id(), DataDir: c.DataDir, Name: c.NodeName, Address: address, Listen: c.NodeListen, ServiceCIDR: c.ServiceCIDR,
		PodCIDR: c.PodCIDR, ClusterCIDR: clusterRange(c.PodCIDR), Domain: c.Domain, Runtime: c.Runtime,
		DNSStubs: c.DNSStubs, Registries: c.Registries, Manifests: c.PodManifests, Eviction: c.Eviction, Routes: true, LocalNodes: c.NodeCIDR,
	}
}

// clusterRange is all nodes' pod addresses: room for 256 ranges like that of one.
func clusterRange(node netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(node.Addr(), max(0, node.Bits()-8)).Masked()
}

// id tells clusters on one machine apart: by name, and by directory where that
// is not the usual one.
func (c *Config) id() string { return cmp.Or(c.ID, machineID(c.Name, c.DataDir)) }

func machineID(name, dir string) string {
	if dir == DefaultPaths(name).Data {
		return name
	}
	sum := sha256.Sum256([]byte(dir))
	return name + "-" + hex.EncodeToString(sum[:3])
}

// runDir holds sockets and what need not outlive a reboot. Socket names are
// short, so that it cannot lie below any data directory.
func (n *NodeConfig) runDir() string { return filepath.Join(network.Run, n.shortID()) }

// shortID fits where the kernel gives few bytes: names of links and sockets.
func (n *NodeConfig) shortID() string {
	const most = 10
	if len(n.ID) <= most {
		return n.ID
	}
	sum := sha256.Sum256([]byte(n.ID))
	return hex.EncodeToString(sum[:5])
}

// Bridges of pods, and of nodes on one machine.
const (
	bridgePrefix = "sk-"
	lanPrefix    = "sl-"
)

// overlayPrefix begins the name of the VXLAN device to other networks' nodes.
const overlayPrefix = "sv-"

// isBridge tells the bridges of Skiff's clusters by their names.
func isBridge(name string) bool {
	return strings.HasPrefix(name, bridgePrefix) || strings.HasPrefix(name, lanPrefix)
}

// table is the name of the cluster's nftables table, and group that of its
// control groups.
func (n *NodeConfig) table() string { return "skiff-" + n.ID }
func (n *NodeConfig) group() string { return "skiff-" + n.ID }

// namespace is the file that pins the network namespace of a local node.
func (n *NodeConfig) namespace() string { return filepath.Join(n.runDir(), "netns") }

func (n *NodeConfig) cniDir() string { return filepath.Join(n.runDir(), "cni") }

func (n *NodeConfig) network() network.Config {
	return network.Config{
		Bridge: bridgePrefix + n.shortID(), PodCIDRs: []netip.Prefix{n.PodCIDR}, State: filepath.Join(n.runDir(), "net"),
	}
}

func (n *NodeConfig) routes() route.Config {
	return route.Config{
		Node: n.Name, Address: n.Address, Pods: []netip.Prefix{n.PodCIDR}, Cluster: []netip.Prefix{n.ClusterCIDR},
		Device: overlayPrefix + n.shortID(), Elsewhere: n.LocalNodes,
	}
}

func (n *NodeConfig) engine() containerd.Config {
	root := Paths{Data: n.DataDir}.Containerd()
	return containerd.Config{
		Root: root, State: filepath.Join(n.runDir(), "c"), Bin: n.Runtime, Log: filepath.Join(root, "containerd.log"),
		CNIBin: n.Runtime, CNIConf: n.cniDir(), PauseImage: image.Pause,
		CertsDir: n.Registries,
	}
}

func (n *NodeConfig) agent() node.Config {
	listen, _ := netip.ParseAddrPort(n.Listen) // was checked before; 0 is the usual port
	var wanted []string
	if n.PodCIDR.IsValid() {
		wanted = []string{n.PodCIDR.String()}
	}
	return node.Config{
		Name: n.Name, Addresses: []string{n.Address.String()}, PodCIDRs: wanted, Port: int32(listen.Port()),
		Root: Paths{Data: n.DataDir}.Node(), LocalVolumes: Paths{Data: n.DataDir}.LocalVolumes(), ClusterDNS: []string{DNSAddress(n.ServiceCIDR).String()}, ClusterDomain: n.Domain,
		CgroupRoot: n.group(), Manifests: n.Manifests, Eviction: n.Eviction, Lease: n.Lease, ResolvConf: resolvConf,
		Labels: n.Labels, Taints: n.Taints,
	}
}

// nodeRole is a node while it runs: container engine, agent, service rules and
// DNS.
type nodeRole struct {
	config    NodeConfig
	authority *pki.Pair
	serving   *pki.Current // certificate of the agent's own API
	log       *slog.Logger

	// keep, where not nil, has a range of pod addresses known at the next start, when the
	// server may be away.
	keep func(netip.Prefix) error

	mu     sync.Mutex
	engine *containerd.Runtime // once it has started
}

// prepare starts what does not need the API server: the network of pods and
// the container engine. It may be called by several at once.
func (n *nodeRole) prepare(ctx context.Context) (*containerd.Runtime, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.engine != nil {
		return n.engine, nil
	}
	var err error
	n.engine, err = n.start(ctx)
	return n.engine, err
}

func (n *nodeRole) start(ctx context.Context) (*containerd.Runtime, error) {
	if err := os.MkdirAll(n.config.cniDir(), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of the network configuration: %w", err)
	}
	if n.config.PodCIDR.IsValid() { // else once the cluster has said it
		if err := n.config.attach(); err != nil {
			return nil, err
		}
	}
	engine, err := containerd.Start(ctx, n.config.engine(), n.log.With("component", "containerd"))
	if err != nil {
		return nil, err
	}
	loader := &image.Loader{Conn: engine.Conn, Images: engine.Images}
	if err := loader.LoadPause(ctx); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return engine, nil
}

// startAgent starts the node agent. Pods of the API wait for synced.
func (n *nodeRole) startAgent(parts *components, c client.Client, synced func(context.Context) error) {
	parts.start("node-agent", func(ctx context.Context) error { return n.runAgent(ctx, c, synced) })
}

// startNetwork starts what makes services and names of pods. c's cache must be
// complete.
func (n *nodeRole) startNetwork(parts *components, c client.Client) {
	parts.start("proxy", func(ctx context.Context) error {
		return nft.Run(ctx, nft.Deps{
			Cache: c.Cache(), Table: n.config.table(), Log: n.log.With("component", "proxy"),
			Config: proxy.Config{
				Node: n.config.Name, NodeIPs: []netip.Addr{n.config.Address}, PodCIDRs: []netip.Prefix{n.config.ClusterCIDR}, Loopback: true,
			},
		})
	})
	parts.start("pod-network", func(ctx context.Context) error { return n.runPodNetwork(ctx, c) })
	parts.start("health-ports", func(ctx context.Context) error {
		return health.Run(ctx, health.Deps{Cache: c.Cache(), Node: n.config.Name, Log: n.log.With("component", "proxy")})
	})
}

// runAgent runs the node agent and its own API.
func (n *nodeRole) runAgent(ctx context.Context, c client.Client, synced func(context.Context) error) error {
	engine, err := n.prepare(ctx)
	if err != nil {
		return err
	}
	log := n.log.With("component", "node")
	agent, err := node.New(n.config.agent(), node.Deps{
		Client: c, Synced: synced, Runtime: cri.Client{Runtime: engine.Containers, Images: engine.Images}, Log: log,
		Events: event.NewRecorder(c, "kubelet", n.config.Name, n.log, clock.RealClock{}),
	})
	if err != nil {
		return err
	}
	reviewer, ok := c.(client.Reviewer)
	if !ok {
		return fmt.Errorf("a %T cannot ask who may use the node's API", c)
	}
	listener, err := net.Listen("tcp", n.config.Listen)
	if err != nil {
		return fmt.Errorf("--node-listen %s: %w; choose another port", n.config.Listen, err)
	}
	api := nodeapi.New(nodeapi.Config{
		Certificate: n.serving.GetCertificate,
		ClientCAs:   pki.Pool(n.authority),
		Node:        n.config.Name,
		Access:      nodeapi.NewReviews(reviewer),
	}, agent, log)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return agent.Run(ctx) })
	group.Go(func() error { return api.Serve(ctx, listener) })
	return group.Wait()
}
