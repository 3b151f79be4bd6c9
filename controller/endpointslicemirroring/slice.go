package endpointslicemirroring

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
)

// group is the endpoints of one family that have the same ports: one slice.
type group struct {
	family    discoveryv1.AddressType
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

// target is what tells one address of Endpoints from another.
type target struct {
	addr netip.Addr
	pod  types.UID
}

// collection is the addresses of Endpoints, each once, in their order.
type collection struct {
	order   []target
	found   map[target]discoveryv1.Endpoint
	ports   map[target][]discoveryv1.EndpointPort
	invalid int // addresses that are none
}

// add takes in one address. One that is in several subsets offers the ports of
// all, and is ready if the first says so.
func (c *collection) add(address corev1.EndpointAddress, ready bool, offers []discoveryv1.EndpointPort) {
	addr, err := netip.ParseAddr(address.IP)
	if err != nil {
		c.invalid++
		return
	}
	at := target{addr: addr.Unmap()}
	if address.TargetRef != nil {
		at.pod = address.TargetRef.UID
	}
	if _, known := c.found[at]; !known {
		c.order = append(c.order, at)
		c.found[at] = endpointOf(address, at.addr, ready)
	}
	for _, port := range offers {
		if !slices.ContainsFunc(c.ports[at], func(p discoveryv1.EndpointPort) bool { return apiequality.Semantic.DeepEqual(p, port) }) {
			c.ports[at] = append(c.ports[at], port)
		}
	}
}

// read sorts the addresses of endpoints into groups. It counts the addresses
// that are none, and with them those that are too many.
func read(endpoints *corev1.Endpoints) (groups []*group, invalid, skipped int) {
	c := collection{found: map[target]discoveryv1.Endpoint{}, ports: map[target][]discoveryv1.EndpointPort{}}
	for _, subset := range endpoints.Subsets {
		offers := portsOf(subset.Ports)
		for _, address := range subset.Addresses {
			c.add(address, true, offers)
		}
		for _, address := range subset.NotReadyAddresses {
			c.add(address, false, offers)
		}
	}
	skipped = c.invalid
	for _, at := range c.order {
		if g := groupFor(&groups, at.addr, c.ports[at]); len(g.endpoints) < most {
			g.endpoints = append(g.endpoints, c.found[at])
		} else {
			skipped++
		}
	}
	return groups, c.invalid, skipped
}

// groupFor returns the group of an address's family and ports, which may be new.
func groupFor(groups *[]*group, addr netip.Addr, ports []discoveryv1.EndpointPort) *group {
	family := discoveryv1.AddressTypeIPv4
	if addr.Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	slices.SortFunc(ports, func(a, b discoveryv1.EndpointPort) int {
		return cmp.Or(cmp.Compare(*a.Name, *b.Name), cmp.Compare(*a.Port, *b.Port), cmp.Compare(*a.Protocol, *b.Protocol))
	})
	i := slices.IndexFunc(*groups, func(g *group) bool { return g.family == family && samePorts(g.ports, ports) })
	if i < 0 {
		i = len(*groups)
		*groups = append(*groups, &group{family: family, ports: ports})
	}
	return (*groups)[i]
}

func samePorts(a, b []discoveryv1.EndpointPort) bool {
	return len(a) == 0 && len(b) == 0 || apiequality.Semantic.DeepEqual(a, b)
}

func endpointOf(address corev1.EndpointAddress, addr netip.Addr, ready bool) discoveryv1.Endpoint {
	ep := discoveryv1.Endpoint{
		Addresses:  []string{addr.String()},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef:  address.TargetRef,
		NodeName:   address.NodeName,
	}
	if address.Hostname != "" {
		ep.Hostname = ptr.To(address.Hostname)
	}
	return ep
}

func portsOf(ports []corev1.EndpointPort) []discoveryv1.EndpointPort {
	list := make([]discoveryv1.EndpointPort, 0, len(ports))
	for _, p := range ports {
		list = append(list, discoveryv1.EndpointPort{Name: ptr.To(p.Name), Port: ptr.To(p.Port), Protocol: ptr.To(p.Protocol), AppProtocol: p.AppProtocol})
	}
	return list
}

// writes returns what makes a slice of each group. A slice of other ports that
// would go is used again.
func writes(endpoints *corev1.Endpoints, groups []*group, existing []*discoveryv1.EndpointSlice, rnd *rand.Rand) []client.Op {
	var ops []client.Op
	var without []*group
	for _, g := range groups {
		i := slices.IndexFunc(existing, func(s *discoveryv1.EndpointSlice) bool {
			return s.AddressType == g.family && samePorts(s.Ports, g.ports)
		})
		if i < 0 {
			without = append(without, g)
			continue
		}
		stored := existing[i]
		existing = slices.Delete(slices.Clone(existing), i, i+1)
		if next := sliceOf(endpoints, g, stored); !apiequality.Semantic.DeepEqual(stored, next) {
			ops = append(ops, client.Update(resource.EndpointSlices, next))
		}
	}
	for _, g := range without {
		i := slices.IndexFunc(existing, func(s *discoveryv1.EndpointSlice) bool { return s.AddressType == g.family })
		if i >= 0 {
			ops = append(ops, client.Update(resource.EndpointSlices, sliceOf(endpoints, g, existing[i])))
			existing = slices.Delete(slices.Clone(existing), i, i+1)
			continue
		}
		next := sliceOf(endpoints, g, nil)
		next.GenerateName = endpoints.Name + "-"
		next.Name = pod.Name(next.GenerateName, rnd)
		ops = append(ops, client.Create(resource.EndpointSlices, next))
	}
	return append(ops, deletes(existing)...)
}

// sliceOf returns a group's slice, in place of the stored one if there is one.
func sliceOf(endpoints *corev1.Endpoints, g *group, stored *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	next := &discoveryv1.EndpointSlice{AddressType: g.family}
	if stored != nil {
		next.TypeMeta, next.ObjectMeta = stored.TypeMeta, *stored.ObjectMeta.DeepCopy()
	}
	next.Namespace = endpoints.Namespace
	next.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(endpoints, resource.Endpoints.Info.GVK)}
	next.Labels = map[string]string{}
	maps.Copy(next.Labels, endpoints.Labels)
	next.Labels[discoveryv1.LabelServiceName] = endpoints.Name
	next.Labels[discoveryv1.LabelManagedBy] = managedBy
	next.Annotations = maps.Clone(endpoints.Annotations)
	delete(next.Annotations, corev1.EndpointsLastChangeTriggerTime)
	delete(next.Annotations, corev1.LastAppliedConfigAnnotation)
	next.Ports, next.Endpoints = g.ports, g.endpoints
	return next
}
