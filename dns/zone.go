// Package dns answers the names of the cluster, by the Kubernetes DNS
// specification 1.1.0, and forwards all others. Zone and Answer are pure: a
// Zone is an immutable cut of the names, and a change of one service makes a
// new one that shares the rest. Server is the shell around them.
package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// SpecVersion is the version of the DNS specification that Answer follows.
const SpecVersion = "1.1.0"

// DefaultTTL is the life of cluster records in seconds; short, as in upstream,
// since endpoints come and go.
const DefaultTTL = 5

// Zone is all names of one cluster. It is never changed; With and Without
// methods return another.
type Zone struct {
	domain      string // with final dot, lower case
	ttl         uint32
	serial      uint32 // counts changes, for the SOA record
	nameservers []netip.Addr
	services    shards[*service] // by "namespace/name"
	namespaces  shards[struct{}]
	reverse     shards[[]pointer] // by address bytes
}

// service is what the zone knows of one service.
type service struct {
	fqdn     string
	ips      []netip.Addr // cluster addresses; for a headless service its endpoints
	headless bool
	external string // CNAME target with final dot
	ports    []srvPort
	hosts    map[string][]netip.Addr // endpoints of a headless service by label
}

// srvPort is one named port and the hosts that serve it ("" is the service).
type srvPort struct {
	name  string // "_http._tcp"
	port  uint16
	hosts []string
}

// pointer is a name that an address leads back to.
type pointer struct {
	owner string // "namespace/name" of the service
	name  string
}

// NewZone is an empty zone; the domain is "cluster.local" if empty.
func NewZone(domain string, ttlSeconds uint32) *Zone {
	if domain == "" {
		domain = "cluster.local"
	}
	return &Zone{domain: dns.CanonicalName(domain), ttl: ttlSeconds, serial: 1}
}

func (z *Zone) next() *Zone {
	n := *z
	n.serial++
	return &n
}

// WithNameservers sets the addresses of ns.dns.<domain>.
func (z *Zone) WithNameservers(ips []netip.Addr) *Zone {
	n := z.next()
	n.nameservers = slices.Clone(ips)
	return n
}

// WithNamespace adds a namespace: names below it may lack records but exist.
func (z *Zone) WithNamespace(name string) *Zone {
	n := z.next()
	n.namespaces = z.namespaces.with(name, struct{}{})
	return n
}

// WithoutNamespace removes a namespace.
func (z *Zone) WithoutNamespace(name string) *Zone {
	n := z.next()
	n.namespaces = z.namespaces.without(name)
	return n
}

// WithService adds or replaces a service with all its endpoint slices.
func (z *Zone) WithService(svc *corev1.Service, eps []*discoveryv1.EndpointSlice) *Zone {
	key := svc.Namespace + "/" + svc.Name
	n := z.WithoutService(svc.Namespace, svc.Name).next()
	s := newService(z.domain, svc, eps)
	if s == nil {
		return n
	}
	n.services = n.services.with(key, s)
	for _, p := range s.pointers() {
		addr := string(p.addr.AsSlice())
		old, _ := n.reverse.get(addr)
		n.reverse = n.reverse.with(addr, append(slices.Clone(old), pointer{key, p.name}))
	}
	return n
}

// WithoutService removes a service; without such a service it is the zone itself.
func (z *Zone) WithoutService(namespace, name string) *Zone {
	key := namespace + "/" + name
	s, ok := z.services.get(key)
	if !ok {
		return z
	}
	n := z.next()
	n.services = z.services.without(key)
	for _, p := range s.pointers() {
		addr := string(p.addr.AsSlice())
		old, _ := n.reverse.get(addr)
		rest := slices.DeleteFunc(slices.Clone(old), func(p pointer) bool { return p.owner == key })
		if len(rest) == 0 {
			n.reverse = n.reverse.without(addr)
		} else {
			n.reverse = n.reverse.with(addr, rest)
		}
	}
	return n
}

// newService reads a service; nil means it has no names.
func newService(domain string, svc *corev1.Service, eps []*discoveryv1.EndpointSlice) *service {
	s := &service{fqdn: svc.Name + "." + svc.Namespace + ".svc." + domain}
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		s.external = dns.CanonicalName(svc.Spec.ExternalName)
	case svc.Spec.ClusterIP == corev1.ClusterIPNone:
		s.headless = true
		s.readEndpoints(svc.Spec.PublishNotReadyAddresses, eps)
	case svc.Spec.ClusterIP == "":
		return nil // not allocated yet
	default:
		s.readClusterIPs(svc)
	}
	return s
}

func (s *service) readClusterIPs(svc *corev1.Service) {
	ips := svc.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{svc.Spec.ClusterIP}
	}
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip); err == nil {
			s.ips = append(s.ips, a.Unmap())
		}
	}
	for _, p := range svc.Spec.Ports {
		s.ports = append(s.ports, srvPort{name: srvLabel(p.Name, p.Protocol), port: uint16(p.Port), hosts: []string{""}})
	}
}

// readEndpoints fills the names of a headless service. An endpoint without a
// hostname is named by its address, as upstream's server does.
func (s *service) readEndpoints(publishNotReady bool, eps []*discoveryv1.EndpointSlice) {
	s.hosts = map[string][]netip.Addr{}
	for _, sl := range eps {
		var hosts []string
		for i := range sl.Endpoints {
			e := &sl.Endpoints[i]
			if ready := e.Conditions.Ready; !publishNotReady && ready != nil && !*ready {
				continue
			}
			for _, ip := range e.Addresses {
				a, err := netip.ParseAddr(ip)
				if err != nil {
					continue
				}
				host := hostLabel(e, a.Unmap())
				if !slices.Contains(s.hosts[host], a.Unmap()) {
					s.hosts[host] = append(s.hosts[host], a.Unmap())
				}
				if !slices.Contains(hosts, host) {
					hosts = append(hosts, host)
				}
				if !slices.Contains(s.ips, a.Unmap()) {
					s.ips = append(s.ips, a.Unmap())
				}
			}
		}
		s.addPorts(sl.Ports, hosts)
	}
	slices.SortFunc(s.ips, netip.Addr.Compare)
}

func (s *service) addPorts(ports []discoveryv1.EndpointPort, hosts []string) {
	for _, p := range ports {
		if p.Port == nil {
			continue
		}
		var name string
		var proto corev1.Protocol
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			proto = *p.Protocol
		}
		s.ports = append(s.ports, srvPort{name: srvLabel(name, proto), port: uint16(*p.Port), hosts: hosts})
	}
}

func hostLabel(e *discoveryv1.Endpoint, a netip.Addr) string {
	if e.Hostname != nil && *e.Hostname != "" {
		return strings.ToLower(*e.Hostname)
	}
	return dashed(a)
}

// dashed writes an address as a label: 10-0-0-1, 2001-db8--1.
func dashed(a netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
}

// srvLabel is the prefix of a port's SRV record; "" for a port without a name.
func srvLabel(name string, proto corev1.Protocol) string {
	if name == "" {
		return ""
	}
	if proto == "" {
		proto = corev1.ProtocolTCP
	}
	return "_" + strings.ToLower(name) + "._" + strings.ToLower(string(proto))
}

type addrName struct {
	addr netip.Addr
	name string
}

// pointers lists the PTR records of the service.
func (s *service) pointers() []addrName {
	var out []addrName
	if !s.headless {
		for _, ip := range s.ips {
			out = append(out, addrName{ip, s.fqdn})
		}
		return out
	}
	for host, ips := range s.hosts {
		for _, ip := range ips {
			out = append(out, addrName{ip, host + "." + s.fqdn})
		}
	}
	slices.SortFunc(out, func(a, b addrName) int { return strings.Compare(a.name, b.name) })
	return out
}
