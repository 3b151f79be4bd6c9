// Package netspace runs a program in a network namespace of its own, so that
// the clusters it starts can stand beside others: same ports, same ranges of
// addresses, other rules. What is left in the namespace goes with it.
package netspace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"github.com/vishvananda/netlink"
)

// inside is set in the process that runs in the namespace.
const inside = "SKIFF_TEST_INSIDE"

// Address of the machine in a namespace.
const Address = "172.31.77.2"

// Inside tells whether this process was started by Enter.
func Inside() bool { return os.Getenv(inside) != "" }

// Enter runs this program again with its arguments in a new namespace and
// returns its exit status. The program dies with this one.
func Enter() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, fmt.Errorf("enter a network namespace: %w", err)
	}
	return cmd.ProcessState.ExitCode(), nil
}

// Wire gives the namespace what a machine has: loopback, and a link with an
// address and a way out. Nothing is at its other end.
func Wire() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("start loopback: %w", err)
	}
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add link: %w", err)
	}
	// No address that comes a while later by itself: tests compare addresses.
	const none = 1
	if err := netlink.LinkSetIP6AddrGenMode(link, none); err != nil {
		return fmt.Errorf("set up link: %w", err)
	}
	address, err := netlink.ParseAddr(Address + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, address); err != nil {
		return fmt.Errorf("set address: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("start link: %w", err)
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.IPv4(172, 31, 77, 1)}); err != nil {
		return fmt.Errorf("add route: %w", err)
	}
	return nil
}
