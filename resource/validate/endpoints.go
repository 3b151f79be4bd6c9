package validate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// Endpoints checks endpoints; old is nil on create. Subsets that stay are not
// checked again.
func Endpoints(e, old *corev1.Endpoints) field.ErrorList {
	if old != nil && equality.Semantic.DeepEqual(e.Subsets, old.Subsets) {
		return nil
	}
	var p problems
	for i := range e.Subsets {
		s, at := &e.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			p.required(at, "must specify `addresses` or `notReadyAddresses`")
		}
		for j := range s.Addresses {
			endpointAddress(&p, at.Child("addresses").Index(j), &s.Addresses[j])
		}
		for j := range s.NotReadyAddresses {
			endpointAddress(&p, at.Child("notReadyAddresses").Index(j), &s.NotReadyAddresses[j])
		}
		for j, port := range s.Ports {
			path := at.Child("ports").Index(j)
			if port.Name != "" {
				dnsLabel(&p, path.Child("name"), port.Name)
			} else if len(s.Ports) > 1 {
				p.required(path.Child("name"), "")
			}
			portNumber(&p, path.Child("port"), port.Port)
			protocol(&p, path.Child("protocol"), port.Protocol)
			if port.AppProtocol != nil {
				qualifiedName(&p, path.Child("appProtocol"), *port.AppProtocol)
			}
		}
	}
	return p.list()
}

func endpointAddress(p *problems, at *field.Path, a *corev1.EndpointAddress) {
	ip(p, at.Child("ip"), a.IP, nil)
	if a.Hostname != "" {
		dnsLabel(p, at.Child("hostname"), a.Hostname)
	}
	if a.NodeName != nil {
		objectName(p, at.Child("nodeName"), *a.NodeName)
	}
	p.add(EndpointIP(at.Child("ip"), a.IP)...)
}

// EndpointSlice checks a slice; old is nil on create. Endpoints that stay are
// not checked again.
func EndpointSlice(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	var p problems
	oneOf(&p, field.NewPath("addressType"), s.AddressType,
		discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	slicePorts(&p, field.NewPath("ports"), s.Ports)
	if old == nil || !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
		sliceEndpoints(&p, field.NewPath("endpoints"), s)
	}
	if old != nil {
		p.immutable(field.NewPath("addressType"), s.AddressType, old.AddressType)
	}
	return p.list()
}

func slicePorts(p *problems, at *field.Path, ports []discoveryv1.EndpointPort) {
	const most = 20000
	if len(ports) > most {
		p.add(field.TooMany(at, len(ports), most))
		return
	}
	names := sets.New[string]()
	for i, port := range ports {
		path := at.Index(i)
		name := ""
		if port.Name != nil {
			name = *port.Name
		}
		if name != "" {
			dnsLabel(p, path.Child("name"), name)
		}
		if names.Has(name) {
			p.add(field.Duplicate(path.Child("name"), name))
		}
		names.Insert(name)
		if port.Protocol == nil {
			p.required(path.Child("protocol"), "")
		} else {
			supportedOnly(p, path.Child("protocol"), *port.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
		}
		if port.AppProtocol != nil {
			qualifiedName(p, path.Child("appProtocol"), *port.AppProtocol)
		}
	}
}

func sliceEndpoints(p *problems, at *field.Path, s *discoveryv1.EndpointSlice) {
	const most, mostAddresses = 1000, 100
	if len(s.Endpoints) > most {
		p.add(field.TooMany(at, len(s.Endpoints), most))
		return
	}
	for i := range s.Endpoints {
		e, path := &s.Endpoints[i], at.Index(i)
		switch n := len(e.Addresses); {
		case n == 0:
			p.declared(field.Required(path.Child("addresses"), ""))
		case n > mostAddresses:
			p.declared(field.TooMany(path.Child("addresses"), n, mostAddresses).WithOrigin("maxItems"))
		}
		for j, a := range e.Addresses {
			sliceAddress(p, path.Child("addresses"), j, a, s.AddressType)
		}
		if e.NodeName != nil {
			objectName(p, path.Child("nodeName"), *e.NodeName)
		}
		if e.Hostname != nil {
			dnsLabel(p, path.Child("hostname"), *e.Hostname)
		}
		if e.Hints != nil {
			hints(p, path.Child("hints"), e.Hints)
		}
	}
}

func sliceAddress(p *problems, list *field.Path, i int, value string, kind discoveryv1.AddressType) {
	at := list.Index(i)
	before := len(*p)
	switch kind {
	case discoveryv1.AddressTypeIPv4:
		ip(p, at, value, nil)
	case discoveryv1.AddressTypeIPv6:
		p.add(validation.IsValidIP(at, value)...)
	case discoveryv1.AddressTypeFQDN:
		p.add(validation.IsFullyQualifiedDomainName(at, value)...)
		return
	default:
		return
	}
	if len(*p) > before {
		return
	}
	if kind == discoveryv1.AddressTypeIPv4 && !netutils.IsIPv4String(value) {
		p.invalid(list, value, "must be an IPv4 address")
	}
	if kind == discoveryv1.AddressTypeIPv6 && !netutils.IsIPv6String(value) {
		p.invalid(list, value, "must be an IPv6 address")
	}
	p.add(EndpointIP(at, value)...)
}

func hints(p *problems, at *field.Path, h *discoveryv1.EndpointHints) {
	const most = 8
	names := func(path *field.Path, list []string, check func(*field.Path, string)) {
		if len(list) > most {
			p.add(field.TooMany(path, len(list), most))
			return
		}
		for i, name := range list {
			one := path.Index(i).Child("name")
			if slices.Contains(list[:i], name) {
				p.add(field.Duplicate(one, name))
			}
			check(one, name)
		}
	}
	var zones, nodes []string
	for _, z := range h.ForZones {
		zones = append(zones, z.Name)
	}
	for _, n := range h.ForNodes {
		nodes = append(nodes, n.Name)
	}
	names(at.Child("forZones"), zones, func(at *field.Path, name string) { p.invalids(at, name, validation.IsValidLabelValue(name)) })
	names(at.Child("forNodes"), nodes, func(at *field.Path, name string) { objectName(p, at, name) })
}
