package dns

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// takeClients carries the changes of pods over, and says whether there were any
// that matter. They change no name, so that kept answers stay.
func (f *follower) takeClients(changes []watchcache.Change) bool {
	changed := false
	for _, c := range changes {
		pod, ok := c.Entry().Object.(*corev1.Pod)
		if !ok || f.node == "" || pod.Spec.NodeName != f.node {
			continue
		}
		if c.Old != nil {
			changed = f.dropPod(c.Old.Object.(*corev1.Pod)) || changed
		}
		if c.New != nil {
			changed = f.putPod(pod) || changed
		}
	}
	return changed
}

func (f *follower) putPod(p *corev1.Pod) bool {
	if !searches(p, f.node) {
		return false
	}
	for _, a := range podAddresses(p) {
		f.pods[a] = view.KeyOf(p)
	}
	return len(p.Status.PodIPs) > 0
}

// dropPod leaves an address alone that another pod has by now.
func (f *follower) dropPod(p *corev1.Pod) bool {
	before := len(f.pods)
	for _, a := range podAddresses(p) {
		if f.pods[a] == view.KeyOf(p) {
			delete(f.pods, a)
		}
	}
	return len(f.pods) != before
}

// namespaces is a copy of the clients for the server.
func (f *follower) namespaces() map[netip.Addr]string {
	out := make(map[netip.Addr]string, len(f.pods))
	for a, pod := range f.pods {
		out[a] = pod.Namespace
	}
	return out
}

// searches tells whether the pod's search path is the usual one.
func searches(p *corev1.Pod, node string) bool {
	return p.Spec.NodeName == node && !p.Spec.HostNetwork &&
		p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed &&
		(p.Spec.DNSPolicy == corev1.DNSClusterFirst || p.Spec.DNSPolicy == "") &&
		(p.Spec.DNSConfig == nil || len(p.Spec.DNSConfig.Searches) == 0)
}

func podAddresses(p *corev1.Pod) []netip.Addr {
	var out []netip.Addr
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}
