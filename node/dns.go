package node

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// DNS is what pods' name resolution is made of.
type DNS struct {
	Servers []string // of the cluster
	Domain  string   // of the cluster, "cluster.local"
	// Host is the node's own, of its resolv.conf.
	Host Resolv
}

// Resolv is the contents of a resolv.conf.
type Resolv struct{ Servers, Searches, Options []string }

// ParseResolv reads a resolv.conf. The last search line holds.
func ParseResolv(text string) Resolv {
	var r Resolv
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			r.Servers = append(r.Servers, fields[1])
		case "search":
			r.Searches = nil
			for _, s := range fields[1:] {
				if s != "." {
					r.Searches = append(r.Searches, strings.TrimSuffix(s, "."))
				}
			}
		case "options":
			r.Options = append(r.Options, fields[1:]...)
		}
	}
	return r
}

// The limits of a resolv.conf as the API states them.
const (
	maxNameservers = 3
	maxSearches    = 32
	maxSearchChars = 2048
)

// PodDNS returns the resolver configuration of a pod.
func PodDNS(pod *corev1.Pod, d DNS) *runtimeapi.DNSConfig {
	config := &runtimeapi.DNSConfig{Servers: d.Host.Servers, Searches: d.Host.Searches, Options: d.Host.Options}
	policy := pod.Spec.DNSPolicy
	cluster := policy == corev1.DNSClusterFirstWithHostNet || policy == corev1.DNSClusterFirst && !pod.Spec.HostNetwork || policy == ""
	switch {
	case policy == corev1.DNSNone:
		config = &runtimeapi.DNSConfig{}
	case cluster && len(d.Servers) > 0:
		config.Servers = d.Servers
		if d.Domain != "" {
			config.Searches = unique([]string{pod.Namespace + ".svc." + d.Domain, "svc." + d.Domain, d.Domain}, d.Host.Searches)
		}
		config.Options = []string{"ndots:5"}
	}
	if own := pod.Spec.DNSConfig; own != nil {
		config.Servers = unique(config.Servers, own.Nameservers)
		config.Searches = unique(config.Searches, own.Searches)
		config.Options = mergeOptions(config.Options, own.Options)
	}
	if len(config.Servers) > maxNameservers {
		config.Servers = config.Servers[:maxNameservers]
	}
	if len(config.Searches) > maxSearches {
		config.Searches = config.Searches[:maxSearches]
	}
	for len(strings.Join(config.Searches, " ")) > maxSearchChars {
		config.Searches = config.Searches[:len(config.Searches)-1]
	}
	return config
}

func unique(lists ...[]string) []string {
	seen := map[string]bool{}
	var out []string
	for _, list := range lists {
		for _, s := range list {
			if !seen[s] {
				out = append(out, s)
			}
			seen[s] = true
		}
	}
	return out
}

// mergeOptions lets the pod's options replace those of the same name.
func mergeOptions(base []string, own []corev1.PodDNSConfigOption) []string {
	var out []string
	replaced := map[string]bool{}
	for _, o := range own {
		replaced[o.Name] = true
	}
	for _, o := range base {
		if name, _, _ := strings.Cut(o, ":"); !replaced[name] {
			out = append(out, o)
		}
	}
	for _, o := range own {
		if o.Value != nil && *o.Value != "" {
			out = append(out, o.Name+":"+*o.Value)
		} else {
			out = append(out, o.Name)
		}
	}
	return out
}

// maxHostname is the longest host name of a pod.
const maxHostname = 63

// Hostname returns the pod's host name and its domain, which may be "".
func Hostname(pod *corev1.Pod, clusterDomain string) (name, domain string) {
	if o := pod.Spec.HostnameOverride; o != nil {
		return truncate(*o), ""
	}
	name = pod.Name
	if pod.Spec.Hostname != "" {
		name = pod.Spec.Hostname
	}
	if pod.Spec.Subdomain != "" {
		domain = fmt.Sprintf("%s.%s.svc.%s", pod.Spec.Subdomain, pod.Namespace, clusterDomain)
	}
	return truncate(name), domain
}

func truncate(name string) string {
	if len(name) <= maxHostname {
		return name
	}
	return strings.TrimRight(name[:maxHostname], "-.")
}

// HostsFile returns the contents of a pod's /etc/hosts. host is the node's own
// file, for pods on its network.
func HostsFile(f Facts, clusterDomain, host string) string {
	var b strings.Builder
	if f.Pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n" + host)
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
			"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n")
		name, domain := Hostname(f.Pod, clusterDomain)
		for _, ip := range f.PodIPs {
			if domain != "" {
				fmt.Fprintf(&b, "%s\t%s.%s\t%s\n", ip, name, domain, name)
			} else {
				fmt.Fprintf(&b, "%s\t%s\n", ip, name)
			}
		}
	}
	if len(f.Pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, a := range f.Pod.Spec.HostAliases {
			fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
		}
	}
	return b.String()
}
