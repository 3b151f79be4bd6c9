package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/proxy"
)

// set is a set that rules look into: either of pods, which come and go, or of
// ranges, which are fixed. Its name follows from what it holds, so policies that
// mean the same share it.
type set struct {
	spec   proxy.SetSpec
	pods   *who            // nil: fixed
	ranges []proxy.Element // what a fixed set holds
}

func (s *set) name() string { return s.spec.Name }

// who chooses pods, and what of them is in the set: their addresses or, with
// ports, each address with the numbers that the pod has for those names.
type who struct {
	namespace  string          // the only one; empty: those that namespaces chooses
	namespaces labels.Selector // nil: only namespace
	pods       labels.Selector
	ports      []portName
}

type portName struct {
	protocol corev1.Protocol
	name     string
}

// anyPod is who has a port with one of the names, in the whole cluster.
func anyPod(ports []portName) *who {
	return &who{namespaces: labels.Everything(), pods: labels.Everything(), ports: ports}
}

func (w *who) set() *set {
	kind, text := "pods", fmt.Sprint(w.namespace, "|", w.pods)
	key := []proxy.Type{proxy.TypeAddr}
	if w.namespaces != nil {
		text += fmt.Sprint("|", w.namespaces)
	}
	if len(w.ports) > 0 {
		kind, key = "named-ports", []proxy.Type{proxy.TypeAddr, proxy.TypeProto, proxy.TypePort}
		text += fmt.Sprint("|", w.ports)
	}
	return &set{spec: proxy.SetSpec{Name: hashed(kind, text), Key: key}, pods: w}
}

// hashed is a name that follows from a text; its 80 bits are the same on every
// node and after every restart.
func hashed(kind, text string) string {
	sum := sha256.Sum256([]byte(text))
	return kind + "-" + hex.EncodeToString(sum[:10])
}

// matches says whether the pod is one of them, given its namespace's labels.
func (w *who) matches(p *pod, namespace labels.Set) bool {
	if w.namespaces == nil && w.namespace != p.key.Namespace || w.namespaces != nil && !w.namespaces.Matches(namespace) {
		return false
	}
	return w.pods.Matches(p.labels)
}

// members are the elements that a pod brings to the set.
func (s *set) members(p *pod) []proxy.Element {
	var out []proxy.Element
	for _, a := range p.addrs {
		f := proxy.FamilyOf(a)
		if len(s.pods.ports) == 0 {
			out = append(out, proxy.Element{Ref: proxy.Ref{Family: f, Set: s.name(), Key: proxy.AddrKey(a)}})
		}
		for _, want := range s.pods.ports {
			for _, has := range p.ports {
				if has.name == want.name && has.protocol == want.protocol {
					key := proxy.VIPKey(a, proxy.ProtoNumber(has.protocol), has.number)
					out = append(out, proxy.Element{Ref: proxy.Ref{Family: f, Set: s.name(), Key: key}})
				}
			}
		}
	}
	return out
}

// blockSet holds address ranges, of either family.
func blockSet(ranges []addrRange) *set {
	var text strings.Builder
	for _, r := range ranges {
		fmt.Fprintf(&text, "%s-%s ", r.first, r.last)
	}
	s := &set{spec: proxy.SetSpec{Name: hashed("blocks", text.String()), Key: []proxy.Type{proxy.TypeAddr}, Interval: true}}
	for _, r := range ranges {
		s.add(proxy.FamilyOf(r.first), proxy.AddrKey(r.first), proxy.AddrKey(r.last))
	}
	return s
}

// portSet holds ranges of port numbers by protocol, the same for both families.
func portSet(ranges []portRange) *set {
	var text strings.Builder
	for _, r := range ranges {
		fmt.Fprintf(&text, "%d:%d-%d ", r.protocol, r.first, r.last)
	}
	key := []proxy.Type{proxy.TypeProto, proxy.TypePort}
	s := &set{spec: proxy.SetSpec{Name: hashed("ports", text.String()), Key: key, Interval: true}}
	for _, f := range families() {
		for _, r := range ranges {
			s.add(f, proxy.PortKey(r.protocol, r.first), proxy.PortKey(r.protocol, r.last))
		}
	}
	return s
}

func (s *set) add(f proxy.Family, first, last string) {
	s.ranges = append(s.ranges, proxy.Element{
		Ref: proxy.Ref{Family: f, Set: s.name(), Key: first}, Value: proxy.Value{End: last},
	})
}

func families() []proxy.Family { return []proxy.Family{proxy.IPv4, proxy.IPv6} }

// part is the set itself and what is fixed in it.
func (s *set) part() proxy.Part {
	p := proxy.Part{Elements: slices.Clone(s.ranges), Sets: map[proxy.SetRef]proxy.SetSpec{}}
	for _, f := range families() {
		p.Sets[proxy.SetRef{Family: f, Name: s.name()}] = s.spec
	}
	return p
}

// addrRange is from first to last, both included.
type addrRange struct{ first, last netip.Addr }

// portRange is from first to last, both included.
type portRange struct {
	protocol    uint8
	first, last uint16
}
