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
	"path/filepath"
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
	n := &joiningNode{config: config, address: nodeAddress(netip.Addr{}), labels: labels, taints: taints, log: log}
	return n.run(ctx)
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
		Authority:   kept.authority.CertificatePEM(),
		ServiceCIDR: settings.ServiceCIDR, ClusterCIDR: clusterRange(settings.PodCIDR),
		Domain: settings.Domain, DNSStubs: settings.DNSStubs,
	}
}

// joiningNode is a machine on its way to be a node, and then while it is one.
type joiningNode struct {
	config  AgentConfig
	address netip.Addr
	labels  map[string]string
	taints  []corev1.Taint
	log     *slog.Logger

	answer *joinAnswer
	api    client.RemoteConfig // as the node itself
}

func (n *joiningNode) run(ctx context.Context) error {
	keep := pki.Directory{Path: Paths{Data: n.config.DataDir}.PKI(), Now: time.Now}
	kept, err := keptIdentity(keep, n.config.NodeName)
	if err != nil {
		return err
	}
	token, kept, err := tokenOrKept(n.config.Token, kept, time.Now())
	if err != nil {
		return err
	}
	ask, stop := n.config.boundedByFence(ctx)
	defer stop()
	n.answer, err = askToJoin(ask, n.config.Server, token, kept, n.config.NodeName)
	if before := n.config.joinedBefore(kept, err); before != nil {
		n.log.Warn("the server is away; the node begins with its static pods", "err", err)
		n.answer, err = before, nil
	}
	if err != nil {
		return errors.Join(err, n.config.fenceUnjoined(err))
	}
	certificate, err := pki.ParseCertificate(n.answer.Authority)
	if err != nil {
		return fmt.Errorf("join %s: the cluster's authority: %w", n.config.Server, err)
	}
	role, err := n.role(&pki.Pair{Certificate: certificate})
	if err != nil {
		return err
	}
	go role.prepare(ctx) //nolint:errcheck // whoever needs it gets the error
	transport := &renewableTransport{authority: role.authority}
	n.api = client.RemoteConfig{Server: n.config.Server, Log: n.log, HTTP: &http.Client{Transport: transport}}
	own := &nodeCertificate{wish: clientWish(n.config.NodeName), file: keptClient, keep: keep, api: n.api, use: transport.use, log: n.log}
	if kept != nil {
		own.pair = kept.node
		transport.use(kept.node)
	} else if err := n.bootstrap(ctx, own, role.authority, token); err != nil {
		return err
	}
	serving := &nodeCertificate{
		wish: servingWish(n.config.NodeName, n.address), file: keptServing, keep: keep, api: n.api, log: n.log,
		use: func(p *pki.Pair) { role.serving.Set(p.TLS()) },
	}
	if pair := keptPair(keep, keptServing, serving.wish, certificate); pair != nil {
		serving.pair = pair
		serving.use(pair)
	}
	parts := &components{ctx: ctx, log: n.log}
	parts.start("client-certificate", own.run)
	parts.start("serving-certificate", serving.run)
	return n.runNode(parts, role)
}

// bootstrap gets the node's first certificate by its token. The authority is kept
// first: the certificate is of use with it only.
func (n *joiningNode) bootstrap(ctx context.Context, own *nodeCertificate, authority *pki.Pair, token JoinToken) error {
	if err := pki.WriteFile(filepath.Join(own.keep.Path, keptAuthority), authority.CertificatePEM()); err != nil {
		return err
	}
	transport := nodeTransport(authority)
	defer transport.CloseIdleConnections()
	first := *own
	first.api.HTTP = &http.Client{Transport: tokenTransport{transport, token.Secret}}
	if err := first.renew(ctx); err != nil {
		return fmt.Errorf("join %s: %w", n.config.Server, err)
	}
	own.pair = first.pair
	return nil
}

// role is the node as the cluster wants it.
func (n *joiningNode) role(authority *pki.Pair) (*nodeRole, error) {
	settings := Config{
		Name: agentName, ID: n.config.ID, DataDir: n.config.DataDir, Node: true, NodeName: n.config.NodeName, NodeListen: n.config.NodeListen,
		ServiceCIDR: n.answer.ServiceCIDR, Domain: n.answer.Domain, Runtime: RuntimeDir(),
		DNSStubs:   n.answer.DNSStubs,
		Registries: n.config.Registries, PodManifests: n.config.PodManifests, Eviction: n.config.Eviction,
	}
	if before, err := LoadConfig(settings.Paths()); err == nil {
		settings.PodCIDR = before.PodCIDR // until the cluster says otherwise
	}
	if err := settings.Save(); err != nil { // "skiff down" and "skiff image" find the node by it
		return nil, err
	}
	node := settings.nodeConfig(n.address)
	node.ClusterCIDR, node.Labels, node.Taints = n.answer.ClusterCIDR, n.labels, n.taints
	if n.config.Failover {
		node.Lease = failoverLease
	}
	node.Routes = !n.config.Address.IsValid()
	return &nodeRole{log: n.log, authority: authority, serving: pki.NewCurrent(), config: node, keep: func(pods netip.Prefix) error {
		settings.PodCIDR = pods
		return settings.Save()
	}}, nil
}

// runNode runs the node with a cache that is fed over HTTP.
func (n *joiningNode) runNode(parts *components, role *nodeRole) error {
	api := n.api
	api.Watched = []client.Watched{
		{Kind: resource.Pods.Info}, // of all nodes: network policies speak of them
		{Kind: resource.NetworkPolicies.Info},
		{Kind: resource.Nodes.Info}, // to route to their pods
		{Kind: resource.PodCertificateRequests.Info, Fields: "spec.nodeName=" + n.config.NodeName},
		{Kind: resource.ClusterTrustBundles.Info}, {Kind: resource.PersistentVolumes.Info}, {Kind: resource.RuntimeClasses.Info},
		{Kind: resource.Services.Info}, {Kind: resource.EndpointSlices.Info}, {Kind: resource.Namespaces.Info},
	}
	api.Follow = &client.Follow{Of: resource.Pods.Info, Refs: podRefs(n.config.NodeName)}
	remote := client.NewRemote(api)
	parts.start("watches", remote.Run)
	role.startAgent(parts, remote, remote.Synced)
	if err := remote.Synced(parts.ctx); err != nil {
		parts.wg.Wait()
		return err
	}
	role.startNetwork(parts, remote)
	parts.start("trim", trimAfterStart)
	parts.wg.Wait()
	return nil
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
