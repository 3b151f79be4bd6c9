package endpointslice

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/endpoint"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
)

// planner collects the changes of one Service's slices.
type planner struct {
	svc     *corev1.Service
	rnd     *rand.Rand
	creates []*discoveryv1.EndpointSlice
	updates []*discoveryv1.EndpointSlice
	deletes []*discoveryv1.EndpointSlice
	// trigger is when the first of the pods' changes happened that this plan is
	// about; zero if it is about none.
	trigger time.Time
}

// caused notes the time of a change that is behind this plan.
func (p *planner) caused(at time.Time) {
	if !at.IsZero() && (p.trigger.IsZero() || at.Before(p.trigger)) {
		p.trigger = at
	}
}

func (p *planner) stamp(s *discoveryv1.EndpointSlice) {
	s.Annotations = maps.Clone(s.Annotations)
	endpoint.Stamp(s, p.trigger)
}

// plan orders the writes. New slices come before updates, and updates before
// deletions, so that an endpoint that moves is not missing in between.
func (p *planner) plan() controller.Plan {
	var plan controller.Plan
	for _, s := range p.creates {
		p.stamp(s)
		plan.Do = append(plan.Do, client.Create(resource.EndpointSlices, s))
	}
	for _, s := range p.updates {
		p.stamp(s)
		plan.Do = append(plan.Do, client.Update(resource.EndpointSlices, s))
	}
	for _, s := range p.deletes {
		plan.Do = append(plan.Do, client.Delete(resource.EndpointSlices, s))
	}
	return plan
}

func (p *planner) remove(existing []*discoveryv1.EndpointSlice) {
	p.deletes = append(p.deletes, existing...)
}

// family plans the slices of one address type.
func (p *planner) family(family discoveryv1.AddressType, groups []*group, existing []*discoveryv1.EndpointSlice) {
	if len(groups) == 0 {
		// One empty slice says that there is a Service, and nothing behind it.
		groups = []*group{{}}
	}
	for _, g := range groups {
		ports := portsOf(g.ports)
		var same []*discoveryv1.EndpointSlice
		existing = slices.DeleteFunc(slices.Clone(existing), func(s *discoveryv1.EndpointSlice) bool {
			if apiequality.Semantic.DeepEqual(s.Ports, ports) || len(s.Ports) == 0 && len(ports) == 0 {
				same = append(same, s)
				return true
			}
			return false
		})
		if len(same) == 0 && len(existing) > 0 && len(groups) == 1 {
			// The ports have changed: a slice is used again rather than replaced.
			same, existing = existing[:1], existing[1:]
		}
		p.group(family, ports, g, same)
	}
	p.remove(existing)
}

// group plans the slices of endpoints with the same ports, with as few writes as
// possible: an endpoint stays in its slice, new ones first go where something
// changes anyway, then where there is most company, then to new slices.
func (p *planner) group(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, g *group, existing []*discoveryv1.EndpointSlice) {
	want := g.endpoints
	left := make(map[string]discoveryv1.Endpoint, len(want))
	for _, ep := range want {
		left[identity(ep)] = ep
	}
	drafts := make([]*draft, 0, len(existing))
	for _, s := range existing {
		drafts = append(drafts, p.draft(s, ports, g, left))
	}
	rest := make([]discoveryv1.Endpoint, 0, len(left))
	for _, ep := range want {
		if _, missing := left[identity(ep)]; missing {
			rest = append(rest, ep)
			p.caused(g.since[identity(ep)])
		}
	}
	drafts = p.place(rest, drafts, family, ports)
	p.write(drafts, len(want) == 0)
}

// draft is a slice as it shall be.
type draft struct {
	stored    *discoveryv1.EndpointSlice // nil: new
	next      *discoveryv1.EndpointSlice
	changed   bool
	endpoints []discoveryv1.Endpoint
}

// draft takes over what stays in a slice, and takes it from left.
func (p *planner) draft(s *discoveryv1.EndpointSlice, ports []discoveryv1.EndpointPort, g *group, left map[string]discoveryv1.Endpoint) *draft {
	d := &draft{stored: s}
	for _, have := range s.Endpoints {
		id := identity(have)
		ep, ok := left[id]
		if !ok {
			d.changed = true
			continue
		}
		delete(left, id)
		ep.DeprecatedTopology = have.DeprecatedTopology
		if !apiequality.Semantic.DeepEqual(ep, have) {
			d.changed = true
		}
		if !apiequality.Semantic.DeepEqual(ep.Conditions, have.Conditions) {
			p.caused(g.since[id])
		}
		d.endpoints = append(d.endpoints, ep)
	}
	next := *s
	p.describe(&next, ports)
	d.next = &next
	d.changed = d.changed || !apiequality.Semantic.DeepEqual(next, *s)
	return d
}

// place finds room for new endpoints.
func (p *planner) place(rest []discoveryv1.Endpoint, drafts []*draft, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) []*draft {
	fill := func(d *draft) {
		n := min(len(rest), perSlice-len(d.endpoints))
		d.endpoints = append(d.endpoints, rest[:n]...)
		d.changed = d.changed || n > 0
		rest = rest[n:]
	}
	for _, d := range drafts {
		if d.changed && len(rest) > 0 {
			fill(d)
		}
	}
	byFill := slices.Clone(drafts)
	slices.SortStableFunc(byFill, func(a, b *draft) int { return -cmp.Compare(len(a.endpoints), len(b.endpoints)) })
	for _, d := range byFill {
		if len(rest) > 0 && len(rest) < perSlice && len(d.endpoints)+len(rest) <= perSlice {
			fill(d)
		}
	}
	for len(rest) > 0 || len(drafts) == 0 {
		s := &discoveryv1.EndpointSlice{AddressType: family}
		base := p.svc.Name + "-"
		s.Name, s.GenerateName, s.Namespace = pod.Name(base, p.rnd), base, p.svc.Namespace
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(p.svc, resource.Services.Info.GVK)}
		p.describe(s, ports)
		d := &draft{next: s, changed: true}
		fill(d)
		drafts = append(drafts, d)
	}
	return drafts
}

// write plans the drafts that differ. Empty ones are deleted, but for one where
// there are no endpoints at all.
func (p *planner) write(drafts []*draft, none bool) {
	for _, d := range drafts {
		keep := len(d.endpoints) > 0 || none
		none = false
		if !keep {
			p.deletes = append(p.deletes, d.stored)
			continue
		}
		if !d.changed {
			continue
		}
		d.next.Endpoints = d.endpoints
		if d.stored == nil {
			p.creates = append(p.creates, d.next)
		} else {
			p.updates = append(p.updates, d.next)
		}
	}
}

// describe sets labels and ports.
func (p *planner) describe(s *discoveryv1.EndpointSlice, ports []discoveryv1.EndpointPort) {
	labels := maps.Clone(p.svc.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	delete(labels, corev1.IsHeadlessService)
	labels[discoveryv1.LabelServiceName] = p.svc.Name
	labels[discoveryv1.LabelManagedBy] = managedBy
	if endpoint.Headless(p.svc) {
		labels[corev1.IsHeadlessService] = ""
	}
	s.Labels, s.Ports = labels, ports
}

func portsOf(ports []endpoint.Port) []discoveryv1.EndpointPort {
	list := make([]discoveryv1.EndpointPort, 0, len(ports))
	for _, port := range ports {
		ep := discoveryv1.EndpointPort{Name: ptr.To(port.Name), Port: ptr.To(port.Number), Protocol: ptr.To(port.Protocol)}
		if port.AppProtocol != "" {
			ep.AppProtocol = ptr.To(port.AppProtocol)
		}
		list = append(list, ep)
	}
	return list
}

// identity tells endpoints apart: by pod, and address should that change.
func identity(ep discoveryv1.Endpoint) string {
	id := ""
	if ep.TargetRef != nil {
		id = string(ep.TargetRef.UID)
	}
	for _, a := range ep.Addresses {
		id += "|" + a
	}
	return id
}
