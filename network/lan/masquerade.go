package lan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Where the addresses are in an IPv4 header.
const (
	sourceOffset      = 12
	destinationOffset = 16
	addressBytes      = 4
)

// masquerade gives what the nodes send to the world the machine's own address: the
// world knows no way back to them. Among nodes and pods addresses stay.
func (c Config) masquerade() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: c.Table}
	conn.AddTable(table)
	conn.FlushTable(table)
	chain := conn.AddChain(&nftables.Chain{
		Name: "to-the-world", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	var rule []expr.Any
	rule = append(rule, inRange(sourceOffset, c.CIDR, expr.CmpOpEq)...)
	rule = append(rule, inRange(destinationOffset, c.CIDR, expr.CmpOpNeq)...)
	rule = append(rule, inRange(destinationOffset, c.Pods, expr.CmpOpNeq)...)
	rule = append(rule, &expr.Masq{})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables table %s: %w", c.Table, err)
	}
	return nil
}

// inRange compares the network part of an address in the packet.
func inRange(offset uint32, in netip.Prefix, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: addressBytes},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: addressBytes, Mask: net.CIDRMask(in.Bits(), 8*addressBytes), Xor: make([]byte, addressBytes)},
		&expr.Cmp{Op: op, Register: 1, Data: in.Masked().Addr().AsSlice()},
	}
}

func (c Config) stopMasquerade() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	conn.DelTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: c.Table})
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete nftables table %s: %w", c.Table, err)
	}
	return nil
}
