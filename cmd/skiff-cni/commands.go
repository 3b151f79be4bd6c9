package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/skiff-sh/skiff/network"
	"github.com/skiff-sh/skiff/network/lease"
	"github.com/skiff-sh/skiff/network/rtnl"
)

// result is the specification's success answer to ADD.
type result struct {
	Version    string     `json:"cniVersion"`
	Interfaces []iface    `json:"interfaces"`
	IPs        []ipConfig `json:"ips"`
	Routes     []route    `json:"routes"`
	DNS        struct{}   `json:"dns"`
}

type iface struct {
	Name    string `json:"name"`
	MAC     string `json:"mac,omitempty"`
	MTU     int    `json:"mtu,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

type ipConfig struct {
	Address   netip.Prefix `json:"address"`
	Gateway   netip.Addr   `json:"gateway"`
	Interface int          `json:"interface"`
}

type route struct {
	Dst netip.Prefix `json:"dst"`
	GW  netip.Addr   `json:"gw"`
}

// add takes addresses and attaches the sandbox. What it took is given back if
// it cannot be used; if we are killed midway, the runtime's DEL does it.
func add(r request) (result, error) {
	host, err := rtnl.Open()
	if err != nil {
		return result{}, err
	}
	defer host.Close()
	got, bridge, err := reserve(host, r)
	if err != nil {
		return result{}, err
	}
	if err := attach(host, bridge, r, got); err != nil {
		return result{}, errors.Join(err, release(host, r))
	}
	return describe(r, got), nil
}

// reserve makes the bridge and takes the addresses, both under the leases'
// lock: of thirty sandboxes at once the first makes the bridge.
func reserve(host *rtnl.Socket, r request) (lease.Lease, int32, error) {
	leases, err := network.LockLeases(r.config.State)
	if err != nil {
		return lease.Lease{}, 0, &failure{codeIO, "take address", err}
	}
	defer leases.Unlock()
	bridge, err := network.EnsureBridge(host, r.config.Config)
	if err != nil {
		return lease.Lease{}, 0, err
	}
	got, err := leases.Table.Allocate(r.owner, r.config.PodCIDRs)
	if err == nil {
		err = leases.Save()
	}
	if err != nil {
		return lease.Lease{}, 0, &failure{codeFailed, "take address", err}
	}
	return got, bridge, nil
}

// release undoes an attachment: the link first, so that an address is never
// free while a link still has it.
func release(host *rtnl.Socket, r request) error {
	if err := host.Delete(network.PortName(r.owner)); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("delete link %s: %w", network.PortName(r.owner), err)
	}
	leases, err := network.LockLeases(r.config.State)
	if err != nil {
		return &failure{codeIO, "give address back", err}
	}
	defer leases.Unlock()
	if !leases.Table.Release(r.owner) {
		return nil
	}
	return leases.Save()
}

// del also succeeds when there is nothing, or no namespace, left.
func del(r request) error {
	host, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	return release(host, r)
}

// check tells whether what ADD made is still there.
func check(r request) error {
	leases, err := network.LockLeases(r.config.State)
	if err != nil {
		return &failure{codeIO, "read leases", err}
	}
	_, ok := leases.Table.Find(r.owner)
	leases.Unlock()
	if !ok {
		return &failure{codeFailed, "check", fmt.Errorf("container %s has no address", r.owner.Container)}
	}
	host, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	if _, _, err := host.Index(network.PortName(r.owner)); err != nil {
		return &failure{codeFailed, "check", fmt.Errorf("find link %s: %w", network.PortName(r.owner), err)}
	}
	return nil
}

// collect frees what belongs to attachments that the runtime does not name.
func collect(r request) error {
	valid := make(map[lease.Owner]bool, len(r.config.Valid))
	for _, v := range r.config.Valid {
		valid[lease.Owner{Container: v.Container, Interface: v.Interface}] = true
	}
	host, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	leases, err := network.LockLeases(r.config.State)
	if err != nil {
		return &failure{codeIO, "read leases", err}
	}
	defer leases.Unlock()
	for _, l := range leases.Table.Keep(func(o lease.Owner) bool { return valid[o] }) {
		if err := host.Delete(network.PortName(l.Owner)); err != nil && !errors.Is(err, syscall.ENODEV) {
			return fmt.Errorf("delete link %s: %w", network.PortName(l.Owner), err)
		}
	}
	return leases.Save()
}

// status fails when an ADD would: no lock, unreadable leases, a full range.
func status(r request) error {
	leases, err := network.LockLeases(r.config.State)
	if err != nil {
		return &failure{codeUnavailable, "leases", err}
	}
	defer leases.Unlock()
	if _, err := leases.Table.Allocate(lease.Owner{Container: "status", Interface: "status"}, r.config.PodCIDRs); err != nil {
		return &failure{codeUnavailable, "addresses", err}
	}
	if _, err := os.Stat("/proc/sys/net/ipv4/ip_forward"); err != nil {
		return &failure{codeUnavailable, "kernel", err}
	}
	return nil
}

func describe(r request, l lease.Lease) result {
	res := result{
		Version: r.config.Version,
		Interfaces: []iface{
			{Name: r.config.Bridge},
			{Name: network.PortName(r.owner)},
			{Name: r.owner.Interface, MAC: macString(network.MAC(l.Addrs[0])), Sandbox: r.netns},
		},
	}
	if r.config.Version != "1.0.0" {
		res.Interfaces[2].MTU = r.config.MTU
	}
	for i, a := range l.Addrs {
		cidr := r.config.PodCIDRs[i]
		res.IPs = append(res.IPs, ipConfig{netip.PrefixFrom(a, cidr.Bits()), lease.Gateway(cidr), 2})
		res.Routes = append(res.Routes, route{everywhere(a), lease.Gateway(cidr)})
	}
	return res
}

func everywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func macString(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
