package dns

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// ParseResolvConf lists the nameservers of a resolv.conf, but not those that
// are ourselves: forwarding to them would go in circles.
func ParseResolvConf(text string, ours []netip.Addr) []netip.AddrPort {
	var out []netip.AddrPort
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(f[1])
		if err != nil || slices.Contains(ours, a.Unmap()) {
			continue
		}
		if s := netip.AddrPortFrom(a.Unmap(), 53); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// ResolvConf lists the nameservers of a file, and reads it again when it has
// changed. It looks at most once a second, and only when asked.
func ResolvConf(path string, ours []netip.Addr) func() []netip.AddrPort {
	var mu sync.Mutex
	var looked, changed time.Time
	var servers []netip.AddrPort
	return func() []netip.AddrPort {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(looked) < time.Second {
			return servers
		}
		looked = now
		info, err := os.Stat(path)
		if err != nil || info.ModTime().Equal(changed) {
			return servers // a file that is being replaced comes back
		}
		if text, err := os.ReadFile(path); err == nil {
			changed, servers = info.ModTime(), ParseResolvConf(string(text), ours)
		}
		return servers
	}
}
