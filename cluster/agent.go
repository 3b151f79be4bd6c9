package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
)

// agentName is what commands on this machine call a node of a cluster elsewhere.
const agentName = "agent"

// AgentConfig is a machine that joins a cluster elsewhere.
type AgentConfig struct {
	Server     string `json:"server"`
	Token      string `json:"-"`
	TokenFile  string `json:"tokenFile,omitempty"` // holds the token, in place of Token
	NodeName   string `json:"nodeName"`
	NodeListen string `json:"nodeListen"`
	DataDir    string `json:"dataDir"`
	// Labels (key=value) are the node's, and Taints (key=value:effect) those that it
	// begins with.
	Labels []string `json:"labels,omitempty"`
	Taints []string `json:"taints,omitempty"`
	// Registries is a directory with a hosts.toml per image registry.
	Registries string `json:"registries,omitempty"`
	// PodManifests is the folder of static pods.
	PodManifests string `json:"podManifests,omitempty"`
	// Eviction says when the node has too little left.
	Eviction node.EvictionConfig `json:"eviction,omitzero"`
	// ID and Address are set for a node in a network namespace: what its links,
	// tables and groups are called by, and where it is.
	ID string `json:"id,omitempty"`
	// Failover is as in Config: the node fences itself.
	Failover bool       `json:"failover,omitempty"`
	Address  netip.Addr `json:"address,omitzero"`
}

// DefaultAgentConfig is what flags need not say.
func DefaultAgentConfig() AgentConfig {
	c := DefaultConfig(DefaultName)
	return AgentConfig{NodeName: c.NodeName, NodeListen: c.NodeListen, DataDir: DefaultPaths(agentName).Data}
}

// RunAgent joins and runs the node until ctx ends.
func RunAgent(ctx context.Context, config AgentConfig, log *slog.Logger) error {
	if !strings.HasPrefix(config.Server, "https://") {
		return fmt.Errorf("--server %q: give the API server's URL, such as https://10.0.0.1:6443", config.Server)
	}
	if config.TokenFile != "" {
		data, err := os.ReadFile(config.TokenFile)
		if err != nil {
			return fmt.Errorf("read join token: %w", err)
		}
		config.Token = string(data)
	}
	if err := errors.Join(nodeListenAddress(config.NodeListen), registriesDir(config.Registries), manifestsDir(config.PodManifests), evictionThresholds(config.Eviction)); err != nil {
		return err
	}
	labels, err := parseNodeLabels(config.Labels)
	if err != nil {
		return err
	}
	taints, err := parseTaints(config.Taints)
	if err != nil {
		return err
	}
	if err := claimDir(config.DataDir); err != nil {
		return err
	}
	unlock, err := lock(Paths{Data: config.DataDir}.Lock(), config.DataDir)
	if err != nil {
		return err
	}
	defer unlock()
	keep := pki.Directory{Path: Paths{Data: config.DataDir}.PKI(), Now: time.Now}
	kept, err := keptIdentity(keep, config.NodeName)
	if err != nil {
		return err
	}
	token, err := tokenOrKept(config.Token, kept, time.Now())
	if err != nil {
		return err
	}
	address := nodeAddress(netip.Addr{})
	ask, stop := config.boundedByFence(ctx)
	defer stop()
	answer, key, err := askToJoin(ask, config.Server, token, kept, config.NodeName, []netip.Addr{address})
	if before := config.joinedBefore(kept, err); before != nil {
		log.Warn("the server is away; the node begins with its static pods", "err", err)
		return runNode(ctx, config, before, kept, nodeTraits{address, labels, taints}, log)
	}
	if err != nil {
		return errors.Join(err, config.fenceUnjoined(err))
	}
	id, err := identityOf(answer, key)
	if err != nil {
		return err
	}
	if err := id.keep(keep); err != nil {
		return err
	}
	return runNode(ctx, config, answer, id, nodeTraits{address, labels, taints}, log)
}

// joinedBefore returns what the server answered before, for a node with static pods
// that cannot reach it now; nil where that does not help. A node that fences itself
// ends its pods rather.
func (c *AgentConfig) joinedBefore(kept *identity, cause error) *joinAnswer {
	var network *net.OpError
	if kept == nil || c.PodManifests == "" || c.Failover || !errors.As(cause, &network) || network.Op != "dial" {
		return nil
	}
	settings, err := LoadConfig(Paths{Data: c.DataDir})
	if err != nil || !settings.PodCIDR.IsValid() {
		return nil
	}
	return &joinAnswer{
		ServiceCIDR: settings.ServiceCIDR, ClusterCIDR: clusterRange(settings.PodCIDR),
		Domain: settings.Domain, DNSStubs: settings.DNSStubs,
	}
}

// nodeTraits are what a machine says of its node.
type nodeTraits struct {
	address netip.Addr
	labels  map[string]string
	taints  []corev1.Taint
}

// runNode runs the node with a cache that is fed over HTTP.
func runNode(ctx context.Context, config AgentConfig, answer *joinAnswer, id *identity, traits nodeTraits, log *slog.Logger) error {
	settings := Config{
		Name: agentName, ID: config.ID, DataDir: config.DataDir, Node: true, NodeName: config.NodeName, NodeListen: config.NodeListen,
		ServiceCIDR: answer.ServiceCIDR, Domain: answer.Domain, Runtime: RuntimeDir(),
		DNSStubs:   answer.DNSStubs,
		Registries: config.Registries, PodManifests: config.PodManifests, Eviction: config.Eviction,
	}
	if before, err := LoadConfig(settings.Paths()); err == nil {
		settings.PodCIDR = before.PodCIDR // until the cluster says otherwise
	}
	if err := settings.Save(); err != nil { // "skiff down" and "skiff image" find the node by it
		return err
	}
	node := settings.nodeConfig(traits.address)
	node.ClusterCIDR, node.Labels, node.Taints = answer.ClusterCIDR, traits.labels, traits.taints
	if config.Failover {
		node.Lease = failoverLease
	}
	node.Routes = !config.Address.IsValid()
	role := &nodeRole{log: log, id: id, config: node, keep: func(pods netip.Prefix) error {
		settings.PodCIDR = pods
		return settings.Save()
	}}
	remote := client.NewRemote(client.RemoteConfig{
		Server: config.Server, Log: log,
		HTTP: &http.Client{Transport: nodeTransport(id)},
		Watched: []client.Watched{
			{Kind: resource.Pods.Info}, // of all nodes: network policies speak of them
			{Kind: resource.NetworkPolicies.Info},
			{Kind: resource.Nodes.Info}, // to route to their pods
			{Kind: resource.PodCertificateRequests.Info, Fields: "spec.nodeName=" + config.NodeName},
			{Kind: resource.ClusterTrustBundles.Info}, {Kind: resource.PersistentVolumes.Info}, {Kind: resource.RuntimeClasses.Info},
			{Kind: resource.Services.Info}, {Kind: resource.EndpointSlices.Info}, {Kind: resource.Namespaces.Info},
		},
		Follow: &client.Follow{Of: resource.Pods.Info, Refs: podRefs(config.NodeName)},
	})
	parts := &components{ctx: ctx, log: log}
	parts.start("watches", remote.Run)
	role.startAgent(parts, remote, remote.Synced)
	if err := remote.Synced(ctx); err != nil {
		parts.wg.Wait()
		return err
	}
	role.startNetwork(parts, remote)
	parts.start("trim", trimAfterStart)
	parts.wg.Wait()
	return nil
}

// A connection that has been silent for silentConnection is asked for a sign of
// life, and given up after deadConnection, so that a node is back soon after its
// network is.
const (
	silentConnection = 3 * time.Second
	deadConnection   = 2 * time.Second
)

func nodeTransport(id *identity) *http.Transport {
	return &http.Transport{
		TLSClientConfig: id.clientTLS(id.node), ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{Timeout: deadConnection}).DialContext,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: silentConnection, PingTimeout: deadConnection},
	}
}

// podRefs are the secrets and config maps that a node's pods name: those that
// the node may read.
func podRefs(node string) func(resource.Object) []client.Ref {
	return func(obj resource.Object) []client.Ref {
		if pod := obj.(*corev1.Pod); pod.Spec.NodeName == node {
			return refsOf(pod)
		}
		return nil
	}
}

func refsOf(pod *corev1.Pod) []client.Ref {
	var refs []client.Ref
	for name := range resource.PodSecrets(pod) {
		refs = append(refs, client.Ref{Kind: resource.Secrets.Info, Namespace: pod.Namespace, Name: name})
	}
	for name := range resource.PodConfigMaps(pod) {
		refs = append(refs, client.Ref{Kind: resource.ConfigMaps.Info, Namespace: pod.Namespace, Name: name})
	}
	return refs
}
