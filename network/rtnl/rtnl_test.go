package rtnl

import (
	"net/netip"
	"testing"
)

func TestBroadcast(t *testing.T) {
	for in, want := range map[string]string{
		"10.99.0.2/24": "10.99.0.255", "10.99.0.2/16": "10.99.255.255", "10.99.0.2/30": "10.99.0.3", "0.0.0.1/0": "255.255.255.255",
	} {
		got, _ := netip.AddrFromSlice(broadcast(netip.MustParsePrefix(in)))
		if got.String() != want {
			t.Errorf("broadcast(%s) = %s, want %s", in, got, want)
		}
	}
}
