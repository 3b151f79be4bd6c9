package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/nodeipam"
	"github.com/skiff-sh/skiff/dns"
	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/lease"
	"github.com/skiff-sh/skiff/network/route"
	"github.com/skiff-sh/skiff/network/rtnl"
	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	dnsPort    = 53
	resolvConf = "/etc/resolv.conf"
)

// runPodNetwork runs what needs to know the node's range of pod addresses, and
// begins anew when the cluster gives it another. The Node says which; one that asks
// for a range works with that until it is told.
func (n *nodeRole) runPodNetwork(ctx context.Context, c client.Client) error {
	v := c.Cache().View()
	reader := c.Cache().Read(v.Revision(), resource.Nodes.Info)
	defer func() { reader.Close() }()
	end := func() {}
	defer func() { end() }()
	config, running := n.config, netip.Prefix{}
	for {
		config.PodCIDR = podRange(v, config)
		if config.PodCIDR.IsValid() && config.PodCIDR != running {
			if n.keep != nil {
				if err := n.keep(config.PodCIDR); err != nil {
					return err
				}
			}
			end()
			end, running = n.startPodNetwork(ctx, config, c), config.PodCIDR
		}
		select {
		case <-ctx.Done():
			return nil
		case <-reader.Ready():
		}
		var err error
		if _, v, err = reader.Poll(); err != nil { // it is behind; only the view counts
			reader.Close()
			v = c.Cache().View()
			reader = c.Cache().Read(v.Revision(), resource.Nodes.Info)
		}
	}
}

// podRange is the range that the Node says, or else the one that there was.
func podRange(v *view.View, config NodeConfig) netip.Prefix {
	if node, ok := view.Get(v, resource.Nodes, "", config.Name); ok {
		if pods, err := netip.ParsePrefix(node.Spec.PodCIDR); err == nil {
			return pods
		}
	}
	return config.PodCIDR
}

// startPodNetwork starts the routes to other nodes' pods, and DNS, until the function
// that it returns is called.
func (n *nodeRole) startPodNetwork(ctx context.Context, config NodeConfig, c client.Client) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	parts := &components{ctx: ctx, log: n.log}
	if config.Routes {
		parts.start("pod-routes", func(ctx context.Context) error {
			if err := config.attach(); err != nil { // the source of what the node itself sends
				return err
			}
			return route.Run(ctx, route.Deps{Config: config.routes(), Cache: c.Cache(), Log: n.log.With("component", "pod-routes")})
		})
	}
	parts.start("dns", func(ctx context.Context) error { return n.runDNS(ctx, config, c) })
	return func() { cancel(); parts.wg.Wait() }
}

// attach makes the pods' bridge before there are pods, since DNS listens on it, and
// tells the container engine how pods are attached to it.
func (n *NodeConfig) attach() error {
	config := n.network()
	leases, err := network.LockLeases(config.State)
	if err != nil {
		return err
	}
	defer leases.Unlock()
	host, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	if _, err := network.EnsureBridge(host, config); err != nil {
		return err
	}
	return config.WriteConflist(n.cniDir())
}

// runDNS answers the node's pods. Their resolvers search as the agent, which
// reads the same file, has them search.
func (n *nodeRole) runDNS(ctx context.Context, config NodeConfig, c client.Client) error {
	if err := config.attach(); err != nil {
		return err
	}
	resolv, err := os.ReadFile(resolvConf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the node's search domains: %w", err)
	}
	return dns.Run(ctx, dns.Deps{
		Cache: c.Cache(), Domain: config.Domain, Log: n.log.With("component", "dns"),
		Listen:      []netip.AddrPort{netip.AddrPortFrom(lease.Gateway(config.PodCIDR), dnsPort)},
		Nameservers: []netip.Addr{DNSAddress(config.ServiceCIDR)},
		ResolvConf:  resolvConf, Stubs: config.DNSStubs,
		Node: config.Name, Searches: node.ParseResolv(string(resolv)).Searches,
	})
}

// podRanges is what nodes get their ranges of pod addresses from: each one like the
// server's own, which is kept for it.
func (c *Config) podRanges() nodeipam.Config {
	return nodeipam.Config{
		Ranges: []nodeipam.Range{{All: clusterRange(c.PodCIDR), NodeBits: c.PodCIDR.Bits()}},
		Never:  []netip.Prefix{c.ServiceCIDR},
		Kept:   []netip.Prefix{c.PodCIDR, c.NodeCIDR},
	}
}
