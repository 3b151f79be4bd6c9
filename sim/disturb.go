package sim

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/sim/kubelet"
	"github.com/skiff-sh/skiff/sim/world"
	"github.com/skiff-sh/skiff/view"
)

var nodes = resource.Nodes

// as makes a change as a user. Users have no faults: what they asked for and got
// is what the cluster must come to.
func (s *Sim) as(op client.Op) error {
	_, err := s.world.API.Local(world.Admin()).Do(s.ctx, op)
	return err
}

// disturb lets users act, watches deliver, and things break.
func (s *Sim) disturb() {
	switch n := s.rnd.IntN(100); {
	case n < 55:
		s.lag.deliver(1 + s.rnd.IntN(8))
	case n < 65:
		s.lag.deliver(1 << 20)
	case n < 67:
		s.lag.reload() // the watch was dropped
	case n < 68:
		_ = s.mem.Compact(s.ctx, s.fed)
		_ = s.world.API.Load(s.ctx) // and the server reads everything anew
	case n < 70:
		s.crashed = true
	case n < 71:
		s.pass(time.Duration(s.rnd.IntN(120)) * time.Second)
	case n < 74:
		s.toggleNode()
	case n < 86:
		s.user()
	}
}

// toggleNode loses a node, or brings it back.
func (s *Sim) toggleNode() {
	name := fmt.Sprintf("node-%d", 1+s.rnd.IntN(3))
	state := []string{kubelet.Works, kubelet.Works, kubelet.Lost}[s.rnd.IntN(3)]
	_ = s.as(markNode(name, state))
}

func markNode(name, state string) client.Op {
	return client.MergePatch(nodes, "", name, "", map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{kubelet.Simulated: state}},
	})
}

// user does one thing to a deployment: creates, scales, updates or deletes it.
func (s *Sim) user() {
	list := slices.Collect(view.List(s.world.API.View(), resource.Deployments, "default"))
	if len(list) == 0 || len(list) < 4 && s.rnd.IntN(3) == 0 {
		s.workload++
		d, svc := s.deployment(fmt.Sprintf("app-%d", s.workload))
		_ = s.as(client.Create(resource.Services, svc))
		_ = s.as(client.Create(resource.Deployments, d))
		return
	}
	d := list[s.rnd.IntN(len(list))]
	patch := map[string]any{}
	switch n := s.rnd.IntN(10); {
	case n < 2:
		_ = s.as(client.Delete(resource.Deployments, d))
		return
	case n < 6:
		patch["replicas"] = s.rnd.IntN(6)
	default:
		patch["template"] = map[string]any{"metadata": map[string]any{"annotations": map[string]string{"version": fmt.Sprint(s.rnd.Uint32())}}}
	}
	_ = s.as(client.MergePatch(resource.Deployments, d.Namespace, d.Name, "", map[string]any{"spec": patch}))
}

func (s *Sim) deployment(name string) (*appsv1.Deployment, *corev1.Service) {
	match := map[string]string{"app": name}
	meta := metav1.ObjectMeta{Name: name, Namespace: "default"}
	return &appsv1.Deployment{
			ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{
				Replicas: ptr.To(int32(s.rnd.IntN(5))), Selector: &metav1.LabelSelector{MatchLabels: match},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: match, Annotations: map[string]string{
						kubelet.StartAfter: fmt.Sprintf("%ds", s.rnd.IntN(4)), kubelet.StopAfter: fmt.Sprintf("%ds", s.rnd.IntN(4)),
					}},
					Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main", Resources: corev1.ResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceCPU: apiresource.MustParse("250m")},
					}}}},
				},
			},
		}, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Selector: match, Ports: []corev1.ServicePort{{Port: 80}},
		}}
}

// settle ends all faults and lets time pass until the cluster is as users want
// it and nobody writes any more.
func (s *Sim) settle() {
	s.faults.Set(noFaults)
	for i := range 3 {
		_ = s.as(markNode(fmt.Sprintf("node-%d", i+1), kubelet.Works))
	}
	s.calm = true
	end := s.clock.Now().Add(40 * time.Minute) // node recovery and the longest retry of a key
	s.until(end)
	before := s.writes
	s.until(end.Add(2 * time.Minute))
	s.check.settled(s.writes - before)
}

// until runs everything as far as a time.
func (s *Sim) until(end time.Time) {
	const busy = 200000 // steps that no sound cluster takes
	for range busy {
		s.feed()
		s.lag.deliver(1 << 20)
		acted := s.parts.Step(s.ctx)
		s.check.step()
		if acted || len(s.lag.held) > 0 {
			continue
		}
		next, due := s.parts.Next()
		if !due || next.After(end) {
			next = end
		}
		if !s.clock.Now().Before(end) {
			return
		}
		s.pass(max(0, next.Sub(s.clock.Now())))
	}
	s.check.violate("the cluster is still busy after %d steps", busy)
}
