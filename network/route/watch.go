package route

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watchKernel tells of changes that may concern routes; several may be told of as
// one. The channel is closed when news were lost.
func watchKernel() (news <-chan struct{}, stop func(), err error) {
	done := make(chan struct{})
	stop = func() { close(done) }
	routes, links, addresses := make(chan netlink.RouteUpdate), make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate)
	err = errors.Join(netlink.RouteSubscribe(routes, done), netlink.LinkSubscribe(links, done), netlink.AddrSubscribe(addresses, done))
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("watch routes: %w", err)
	}
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		for {
			concerns, ok := false, false
			select {
			case u, more := <-routes:
				concerns, ok = u.Type == unix.RTM_DELROUTE && u.Protocol == protocol, more
			case u, more := <-links: // of pods' there are many
				concerns, ok = more && u.Link.Type() != "veth", more
			case _, more := <-addresses:
				concerns, ok = true, more
			}
			if !ok {
				go drain(routes)
				go drain(links)
				go drain(addresses)
				return
			}
			if concerns {
				select {
				case out <- struct{}{}:
				default:
				}
			}
		}
	}()
	return out, stop, nil
}

// drain lets the library's goroutine get to its end: it closes its channel.
func drain[T any](updates <-chan T) {
	for range updates {
	}
}
