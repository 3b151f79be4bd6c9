package nft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Disturbance is what a Watch saw of others.
type Disturbance int

const (
	// Changed means somebody else changed or deleted our table.
	Changed Disturbance = iota
	// Lost means that events were lost: our table may have been changed.
	Lost
)

// Watch reports each transaction in which somebody other than the writer
// touched its tables, until the context ends. It takes the kernel's events
// apart only as far as the table's name. Call it before the first Sync, in its
// own goroutine; report must not block for long.
func Watch(ctx context.Context, w *Writer, netns int, report func(Disturbance)) error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	if err != nil {
		return fmt.Errorf("subscribe to nftables events: %w", err)
	}
	defer c.Close()
	// Best effort: with less room, a burst only leads to a check.
	_ = c.SetReadBuffer(16 << 20)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	for {
		msgs, err := c.Receive()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			report(Lost)
		case err != nil:
			return fmt.Errorf("receive nftables events: %w", err)
		case w.disturbed(msgs):
			report(Changed)
		}
	}
}

// disturbed says whether one of the events is about our table and not by us.
func (w *Writer) disturbed(msgs []netlink.Message) bool {
	for _, m := range msgs {
		if m.Header.PID == w.port || m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES ||
			m.Header.Type&0xff == unix.NFT_MSG_NEWGEN || len(m.Data) < 4 {
			continue
		}
		attrs, err := netlink.UnmarshalAttributes(m.Data[4:])
		if err != nil {
			continue
		}
		for _, a := range attrs {
			// The table's name is attribute 1 of tables, chains, rules, sets
			// and elements alike.
			if a.Type == unix.NFTA_TABLE_NAME && string(a.Data) == w.table+"\x00" {
				return true
			}
		}
	}
	return false
}
