package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// wantLocalNodes returns a cluster's local nodes, after making as many as are
// missing from a number of nodes in all.
func wantLocalNodes(c Config, all int) ([]localNode, error) {
	local, err := localNodes(c)
	if err != nil {
		return nil, err
	}
	have := len(local)
	if c.Node {
		have++
	}
	for ; have < all; have++ {
		n, err := newLocalNode(c, "")
		if err != nil {
			return nil, err
		}
		local = append(local, n)
	}
	return local, nil
}

// startLocalNodes starts those nodes that do not run. With wait it returns when all
// are ready.
func startLocalNodes(ctx context.Context, c Config, nodes []localNode, wait bool, began time.Time, progress Progress) error {
	var all errgroup.Group
	var one sync.Mutex
	for _, n := range nodes {
		all.Go(func() error {
			if err := n.start(c); err != nil || !wait {
				return err
			}
			if err := n.awaitReady(ctx, c, began); err != nil {
				return err
			}
			one.Lock()
			defer one.Unlock()
			progressReady(progress, n.NodeName, began)
			return nil
		})
	}
	return all.Wait()
}

// awaitReady follows the node's start to its end.
func (n *localNode) awaitReady(ctx context.Context, c Config, began time.Time) error {
	api, err := newAdmin(c.Paths())
	if err != nil {
		return err
	}
	failed := func() error { return startFailure(n.paths(), began) }
	err = until(ctx, startupPoll, failed, func(ctx context.Context) error { return nodeReady(ctx, api, n.NodeName) })
	if err != nil {
		return fmt.Errorf("wait for node %s: %w", n.NodeName, err)
	}
	return nil
}

// downLocalNodes turns off all local nodes of a cluster.
func downLocalNodes(ctx context.Context, c Config, progress Progress) error {
	nodes, err := localNodes(c)
	if err != nil || len(nodes) == 0 {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wg.Go(func() { errs[i] = n.powerOff(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	progress("turned off %d further nodes", len(nodes))
	return nil
}

// removeLAN takes back what local nodes share, also where the nodes themselves are
// no more.
func (c *Config) removeLAN() error {
	if !c.NodeCIDR.IsValid() {
		return nil
	}
	if err := c.lan().Remove(); err != nil {
		return err
	}
	if c.Node {
		return nil // its node gives back the settings of the kernel
	}
	n := c.nodeConfig(netip.Addr{})
	return errors.Join(network.Teardown(n.network()), n.removeRunDir())
}

// routeToNodes lets this machine route between the pods of local nodes. All routes
// are gone with the nodes' bridge.
func (s *server) routeToNodes(ctx context.Context) error {
	cache := s.api.Cache()
	v := cache.View()
	reader := cache.Read(v.Revision(), resource.Nodes.Info)
	defer reader.Close()
	have := map[netip.Prefix]netip.Addr{}
	for {
		if err := s.route(have, podRoutes(v, s.config.NodeCIDR)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-reader.Ready():
		}
		var err error
		if _, v, err = reader.Poll(); err != nil {
			return err
		}
	}
}

// podRoutes are the pod ranges of the nodes whose address is in a network.
func podRoutes(v *view.View, in netip.Prefix) map[netip.Prefix]netip.Addr {
	routes := map[netip.Prefix]netip.Addr{}
	for node := range view.List(v, resource.Nodes, "") {
		pods, err := netip.ParsePrefix(node.Spec.PodCIDR)
		for _, a := range node.Status.Addresses {
			address, aerr := netip.ParseAddr(a.Address)
			if err == nil && aerr == nil && a.Type == corev1.NodeInternalIP && in.Contains(address) {
				routes[pods] = address
			}
		}
	}
	return routes
}

// route turns the routes that there are into those that there should be.
func (s *server) route(have, want map[netip.Prefix]netip.Addr) error {
	for pods := range have {
		if _, ok := want[pods]; !ok {
			if err := s.config.lan().Unroute(pods); err != nil {
				return err
			}
			delete(have, pods)
		}
	}
	for pods, address := range want {
		if have[pods] != address {
			if err := s.config.lan().RouteTo(pods, address); err != nil {
				return err
			}
			have[pods] = address
		}
	}
	return nil
}
