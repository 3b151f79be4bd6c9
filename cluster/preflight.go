package cluster

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/skiff-sh/skiff/doctor"
)

// Examine looks at this machine with a cluster in mind. A running cluster's own
// ports are not looked at.
func Examine(config Config) []doctor.Finding {
	want := doctor.Want{DataDir: config.DataDir, Runtime: config.Runtime, Node: config.Node}
	if paths := config.Paths(); !running(paths) {
		want.Listen = append(want.Listen, config.Listen)
		if config.Node {
			want.Listen = append(want.Listen, config.NodeListen)
		}
	}
	if config.Node {
		n := config.nodeConfig(netip.Addr{})
		want.Bridge = n.network().Bridge
		want.CIDRs = []netip.Prefix{config.PodCIDR, config.ServiceCIDR}
	}
	return doctor.Examine(want)
}

// preflight is Examine, failures only.
func preflight(config Config) error {
	var errs []error
	for _, f := range Examine(config) {
		if f.Level == doctor.Failure {
			errs = append(errs, fmt.Errorf("%s: %s: %s", f.Check, f.Detail, f.Mend))
		}
	}
	return errors.Join(errs...)
}
