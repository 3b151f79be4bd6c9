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

// Watch is a subscription to the kernel's nftables events. It takes them apart
// only as far as the table's name.
type Watch struct {
	w     *Writer
	conn  *netlink.Conn
	dirty bool // the transaction being read touches our table
}

// NewWatch subscribes: from now on no change by others goes unnoticed.
func NewWatch(w *Writer, netns int) (*Watch, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	if err != nil {
		return nil, fmt.Errorf("subscribe to nftables events: %w", err)
	}
	// Best effort: with less room, a burst only leads to a check.
	_ = c.SetReadBuffer(16 << 20)
	return &Watch{w: w, conn: c}, nil
}

// Run reports each transaction in which somebody other than the writer touched
// its tables, until the context ends; then it closes the subscription. report
// must not block for long.
func (x *Watch) Run(ctx context.Context, report func(Disturbance)) error {
	defer x.conn.Close()
	stop := context.AfterFunc(ctx, func() { x.conn.Close() })
	defer stop()
	for {
		msgs, err := x.conn.Receive()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			x.dirty = false
			report(Lost)
		case err != nil:
			return fmt.Errorf("receive nftables events: %w", err)
		}
		for _, m := range msgs {
			if x.ends(m) {
				report(Changed)
			}
		}
	}
}

// ends says whether the event ends a transaction of others that touched our
// table. The kernel sends a transaction's changes first, its end last.
func (x *Watch) ends(m netlink.Message) bool {
	if m.Header.PID == x.w.port || m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES {
		return false
	}
	if m.Header.Type&0xff != unix.NFT_MSG_NEWGEN {
		x.dirty = x.dirty || x.w.concerns(m)
		return false
	}
	dirty := x.dirty
	x.dirty = false
	return dirty
}

// concerns says whether an event is about our table.
func (w *Writer) concerns(m netlink.Message) bool {
	if len(m.Data) < 4 {
		return false
	}
	attrs, err := netlink.UnmarshalAttributes(m.Data[4:])
	if err != nil {
		return false
	}
	for _, a := range attrs {
		// The table's name is attribute 1 of tables, chains, rules, sets and
		// elements alike.
		if a.Type == unix.NFTA_TABLE_NAME && string(a.Data) == w.table+"\x00" {
			return true
		}
	}
	return false
}
