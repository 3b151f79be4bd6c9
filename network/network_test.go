package network

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/network/lease"
)

func prefixes(words ...string) (out []netip.Prefix) {
	for _, w := range words {
		out = append(out, netip.MustParsePrefix(w))
	}
	return out
}

func TestValidate(t *testing.T) {
	good := Config{Bridge: "skiff0", State: "/run/x", PodCIDRs: prefixes("10.42.0.0/24")}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"good", func(*Config) {}, ""},
		{"both families", func(c *Config) { c.PodCIDRs = prefixes("10.42.0.0/24", "fd00::/64") }, ""},
		{"long bridge name", func(c *Config) { c.Bridge = "a-name-of-17-char" }, `bridge: "a-name-of-17-char" is no device name`},
		{"mtu", func(c *Config) { c.MTU = 100 }, "mtu: 100 is outside 1280 to 65535"},
		{"no range", func(c *Config) { c.PodCIDRs = nil }, "podCIDRs: []; give one range"},
		{"same family twice", func(c *Config) { c.PodCIDRs = prefixes("10.0.0.0/24", "10.1.0.0/24") }, "or one of each family"},
		{"tiny", func(c *Config) { c.PodCIDRs = prefixes("10.0.0.0/31") }, "10.0.0.0/31 has no address left"},
		{"state", func(c *Config) { c.State = "x" }, `stateDir: "x" is not an absolute path`},
	} {
		cfg := good
		c.change(&cfg)
		err := cfg.Validate()
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestWriteConflist(t *testing.T) {
	dir := t.TempDir()
	c := Config{Bridge: "skiff0", MTU: 1450, State: filepath.Join(dir, "state"), PodCIDRs: prefixes("10.42.0.0/24", "fd00::/64")}
	if err := c.WriteConflist(filepath.Join(dir, "net.d")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "net.d/10-skiff.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		CNIVersion string
		Plugins    []struct {
			Type string
			Config
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.CNIVersion != "1.0.0" || len(got.Plugins) != 1 || got.Plugins[0].Type != Plugin || got.Plugins[0].PodCIDRs[1] != c.PodCIDRs[1] {
		t.Errorf("wrote %s", data)
	}
}

func TestLeasesSurviveACrashBeforeRename(t *testing.T) {
	dir := t.TempDir()
	l, err := LockLeases(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Table.Allocate(lease.Owner{Container: "a", Interface: "eth0"}, prefixes("10.42.0.0/24")); err != nil {
		t.Fatal(err)
	}
	if err := l.Save(); err != nil {
		t.Fatal(err)
	}
	l.Unlock()
	// Half a file under the temporary name is what a crash leaves.
	if err := os.WriteFile(filepath.Join(dir, "leases.new"), []byte("last 10."), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err = LockLeases(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	if len(l.Table.Leases) != 1 {
		t.Errorf("leases: %v", l.Table.Leases)
	}
}

func TestUnreadableLeasesNameTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "leases")
	if err := os.WriteFile(file, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LockLeases(dir)
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error: %v", err)
	}
}

func TestPortName(t *testing.T) {
	a := PortName(lease.Owner{Container: "a", Interface: "eth0"})
	if len(a) != 15 || a == PortName(lease.Owner{Container: "b", Interface: "eth0"}) || a != PortName(lease.Owner{Container: "a", Interface: "eth0"}) {
		t.Errorf("port name %q", a)
	}
}
