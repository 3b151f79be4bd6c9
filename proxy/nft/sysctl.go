package nft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/skiff-sh/skiff/proxy"
)

// Sysctl is a kernel setting that the rules need.
type Sysctl struct {
	Name     string // dotted, as sysctl(8) writes it
	Value    string
	Optional bool // the kernel may lack it
	Why      string
}

// Path is the file of the setting.
func (s Sysctl) Path() string { return "/proc/sys/" + strings.ReplaceAll(s.Name, ".", "/") }

// Sysctls lists what the node must have set, for whoever records and undoes
// changes of the host.
func Sysctls(c proxy.Config) []Sysctl {
	var out []Sysctl
	for _, f := range c.Families() {
		if f == proxy.IPv6 {
			out = append(out,
				Sysctl{"net.ipv6.conf.all.forwarding", "1", false, "pods reach services and the outside"},
				Sysctl{"net.bridge.bridge-nf-call-ip6tables", "1", true, "replies between pods of one bridge are translated back"})
			continue
		}
		out = append(out,
			Sysctl{"net.ipv4.ip_forward", "1", false, "pods reach services and the outside"},
			Sysctl{"net.bridge.bridge-nf-call-iptables", "1", true, "replies between pods of one bridge are translated back"})
		if c.Loopback {
			out = append(out, Sysctl{"net.ipv4.conf.all.route_localnet", "1", false, "host ports on 127.0.0.1"})
		}
	}
	return out
}

// WriteSysctls sets them in the calling thread's network namespace.
func WriteSysctls(list []Sysctl) error {
	for _, s := range list {
		err := os.WriteFile(s.Path(), []byte(s.Value), 0)
		if err != nil && !(s.Optional && errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("set %s to %s: %w", s.Name, s.Value, err)
		}
	}
	return nil
}
