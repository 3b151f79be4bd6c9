// Package network gives pods their addresses: it writes the CNI configuration
// that makes containerd run skiff-cni, and keeps the file of address leases
// that skiff-cni works on. Which addresses are given out is decided by package
// lease. It imports little, since skiff-cni starts once per sandbox.
package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Plugin is the name of the CNI program.
const Plugin = "skiff-cni"

// Config is a node's pod network, as skiff-cni reads it from the CNI's JSON.
type Config struct {
	Bridge   string         `json:"bridge"`   // name of the bridge that pods are ports of
	MTU      int            `json:"mtu"`      // of the pods' links; 0 means the kernel's default
	PodCIDRs []netip.Prefix `json:"podCIDRs"` // this node's ranges, one per family
	State    string         `json:"stateDir"` // leases; should not outlive a reboot
}

// Validate reports every problem of c.
func (c Config) Validate() error {
	var errs []error
	if c.Bridge == "" || len(c.Bridge) > 15 || strings.ContainsAny(c.Bridge, "/ :\n") {
		errs = append(errs, fmt.Errorf("bridge: %q is no device name; give 1 to 15 characters without / : or space", c.Bridge))
	}
	if c.MTU != 0 && (c.MTU < 1280 || c.MTU > 65535) {
		errs = append(errs, fmt.Errorf("mtu: %d is outside 1280 to 65535; leave it 0 for the default", c.MTU))
	}
	if !filepath.IsAbs(c.State) {
		errs = append(errs, fmt.Errorf("stateDir: %q is not an absolute path; give one", c.State))
	}
	if n := len(c.PodCIDRs); n < 1 || n > 2 || n == 2 && c.PodCIDRs[0].Addr().Is4() == c.PodCIDRs[1].Addr().Is4() {
		errs = append(errs, fmt.Errorf("podCIDRs: %v; give one range, or one of each family", c.PodCIDRs))
	}
	for _, r := range c.PodCIDRs {
		if r.Bits() > r.Addr().BitLen()-2 {
			errs = append(errs, fmt.Errorf("podCIDRs: %s has no address left for a pod; give a shorter prefix", r))
		}
	}
	return errors.Join(errs...)
}

// name is the network's name in the CNI's sense, of which the machine may have
// several.
func (c Config) name() string { return "skiff-" + c.Bridge }

// cache is where containerd's CNI library keeps a file per attachment. Its
// place cannot be set.
const cache = "/var/lib/cni"

// RemoveCache removes what the CNI library has kept of this network.
func RemoveCache(c Config) error {
	files, err := filepath.Glob(filepath.Join(cache, "results", c.name()+"-*"))
	if err != nil {
		return fmt.Errorf("find the CNI library's files: %w", err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the CNI library's files: %w", err)
		}
	}
	// Where nobody else uses them, the directories go too.
	_ = os.Remove(filepath.Join(cache, "results"))
	_ = os.Remove(cache)
	return nil
}

// WriteConflist puts the CNI configuration into dir, under a name that
// containerd prefers to others there. Containerd watches the directory and
// takes the file as soon as it is whole.
//
// The file says version 1.0.0: from 1.1.0 on containerd would run the program
// for every look at the node's status. The program speaks both.
func (c Config) WriteConflist(dir string) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	type plugin struct {
		Type string `json:"type"`
		Config
	}
	data, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       c.name(),
		"plugins":    []plugin{{Plugin, c}},
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode CNI configuration: %w", err)
	}
	for _, d := range []string{dir, c.State} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("write CNI configuration: %w", err)
		}
	}
	tmp := filepath.Join(dir, ".skiff.new") // containerd reads only *.conf, *.conflist, *.json
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write CNI configuration: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, "10-skiff.conflist")); err != nil {
		return fmt.Errorf("write CNI configuration: %w", err)
	}
	return nil
}
