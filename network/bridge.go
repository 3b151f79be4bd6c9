package network

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/network/lease"
	"github.com/skiff-sh/skiff/network/rtnl"
)

// MAC derives a link's hardware address from its first IP address: whoever
// gets an address later has the hardware address that neighbours remember.
// IPv4 fills the lower four bytes; of IPv6 the lower four are taken.
func MAC(a netip.Addr) [6]byte {
	b := a.AsSlice()
	b = b[len(b)-4:]
	return [6]byte{0x0a, 0x58, b[0], b[1], b[2], b[3]} // locally administered, unicast
}

// PortName is the name of the node's end of an attachment's link: 15 bytes,
// the most a device name has, the same each time.
func PortName(o lease.Owner) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	h := fnv.New64a()
	h.Write([]byte(o.Container + " " + o.Interface))
	name := []byte("sk")
	for v, i := h.Sum64(), 0; i < 13; i, v = i+1, v>>5 {
		name = append(name, digits[v&31])
	}
	return string(name)
}

// EnsureBridge returns the index of the node's bridge, made and configured if
// need be. The caller holds the leases' lock. That the bridge is up tells that
// an earlier call got to its end.
func EnsureBridge(host *rtnl.Socket, c Config) (int32, error) {
	index, flags, err := host.Index(c.Bridge)
	if errors.Is(err, unix.ENODEV) {
		index, err = makeBridge(host, c)
	}
	if err != nil {
		return 0, fmt.Errorf("make bridge %s: %w", c.Bridge, err)
	}
	for _, r := range c.PodCIDRs { // each time: the node's ranges may have changed
		gateway := netip.PrefixFrom(lease.Gateway(r), r.Bits())
		if err := host.AddAddress(index, gateway); err != nil && !errors.Is(err, unix.EEXIST) {
			return 0, fmt.Errorf("set address %s of bridge %s: %w", gateway, c.Bridge, err)
		}
	}
	if flags&unix.IFF_UP != 0 {
		return index, nil
	}
	if err := forward(host, c); err != nil {
		return 0, err
	}
	// Host ports on 127.0.0.1: the bridge may carry loopback addresses on the way
	// to their translation. The setting goes with the bridge; the service proxy's
	// rules keep strangers out.
	if err := os.WriteFile(settings+"net/ipv4/conf/"+c.Bridge+"/route_localnet", []byte("1"), 0); err != nil {
		return 0, fmt.Errorf("let bridge %s carry loopback addresses: %w", c.Bridge, err)
	}
	if err := host.SetUp(index); err != nil {
		return 0, fmt.Errorf("set bridge %s up: %w", c.Bridge, err)
	}
	return index, nil
}

// makeBridge: the bridge hands bridged frames to the IP filter, so that the
// answer of a service's pod to a pod on the same bridge is translated back.
// That is a setting of this bridge alone; the host's other bridges keep theirs.
func makeBridge(host *rtnl.Socket, c Config) (int32, error) {
	if _, err := os.Stat(settings + "net/bridge"); err != nil {
		loadFilter() // before the bridge: it acts on bridges made later
	}
	mac := MAC(lease.Gateway(c.PodCIDRs[0])) // else it changes with each port
	m := rtnl.New(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, rtnl.Link(unix.AF_UNSPEC, 0, 0, 0))
	m.Str(unix.IFLA_IFNAME, c.Bridge).Attr(unix.IFLA_ADDRESS, mac[:])
	if c.MTU != 0 {
		m.U32(unix.IFLA_MTU, uint32(c.MTU))
	}
	m.Nest(unix.IFLA_LINKINFO, func() {
		m.Str(unix.IFLA_INFO_KIND, "bridge").Nest(unix.IFLA_INFO_DATA, func() {
			m.U8(unix.IFLA_BR_NF_CALL_IPTABLES, 1).U8(unix.IFLA_BR_NF_CALL_IP6TABLES, 1)
		})
	})
	if err := host.Do(m); err != nil {
		return 0, err
	}
	index, _, err := host.Index(c.Bridge)
	return index, err
}

// loadFilter loads the module. As it comes it filters on every bridge; those of
// others stay as they were.
func loadFilter() {
	_ = exec.Command("modprobe", "br_netfilter").Run()
	for _, what := range []string{"iptables", "ip6tables", "arptables"} {
		_ = os.WriteFile(settings+"net/bridge/bridge-nf-call-"+what, []byte("0"), 0)
	}
}

// Teardown removes what pods' attachments left on the node: the bridge with
// its ports, the leases, and changed kernel settings, which get their old
// values when no other pod bridge needs them. No pod may run any more. It
// succeeds when there is nothing.
func Teardown(c Config) error {
	host, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	leases, err := LockLeases(c.State)
	if err == nil {
		defer leases.Unlock()
		for _, l := range leases.Table.Leases {
			if derr := host.Delete(PortName(l.Owner)); derr != nil && !errors.Is(derr, unix.ENODEV) {
				err = errors.Join(err, fmt.Errorf("delete link %s: %w", PortName(l.Owner), derr))
			}
		}
	}
	if derr := host.Delete(c.Bridge); derr != nil && !errors.Is(derr, unix.ENODEV) {
		err = errors.Join(err, fmt.Errorf("delete bridge %s: %w", c.Bridge, derr))
	}
	if err = errors.Join(err, restore(host)); err != nil {
		return fmt.Errorf("remove the pod network: %w", err)
	}
	return os.RemoveAll(c.State)
}

// othersForward reports whether another bridge like ours (of another cluster,
// or another CNI: they all derive hardware addresses so) is on the machine.
func othersForward(host *rtnl.Socket) bool {
	devices, _ := os.ReadFile("/proc/thread-self/net/dev")
	for line := range strings.Lines(string(devices)) {
		name, _, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		if mac, err := host.MAC(name); err == nil && mac[0] == 0x0a && mac[1] == 0x58 {
			return true
		}
	}
	return false
}
