package apiserver

import (
	"iter"
	"math/rand/v2"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// reservations are the addresses and ports of services that are on their way
// into the store: chosen, but not yet in the view. Between the two, others may
// be asked whether the service is admitted, so no lock is held.
type reservations struct {
	mutex   sync.Mutex
	pending map[*corev1.Service]bool
	random  *rand.Rand
}

func newReservations(random *rand.Rand) *reservations {
	return &reservations{pending: map[*corev1.Service]bool{}, random: random}
}

// services yields all that have addresses: those of the view, and those to come.
func (r *reservations) services(v *view.View) iter.Seq[*corev1.Service] {
	return func(yield func(*corev1.Service) bool) {
		for svc := range view.List(v, resource.Services, "") {
			if !yield(svc) {
				return
			}
		}
		for svc := range r.pending {
			if !yield(svc) {
				return
			}
		}
	}
}

func (r *reservations) forget(svc *corev1.Service) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.pending, svc)
}

// allocate gives a service its cluster addresses and node ports. They stay
// reserved until release, which is called when the view shows them.
func (s *Server) allocate(c *call, obj, old resource.Object) (release func(), err error) {
	svc, ok := obj.(*corev1.Service)
	if !ok || c.target.subresource != "" {
		return func() {}, nil
	}
	r := s.reservations
	r.mutex.Lock()
	defer r.mutex.Unlock()
	ranges := resource.ServiceRanges{IPs: s.config.ServiceCIDRs, FirstPort: s.config.NodePorts[0], LastPort: s.config.NodePorts[1]}
	errs, err := resource.AllocateService(svc, typedService(old), r.services(s.View()), ranges, r.random)
	if err == nil {
		err = c.invalid(obj.GetName(), errs)
	}
	if err != nil {
		return nil, err
	}
	reserved := svc.DeepCopy()
	r.pending[reserved] = true
	return func() { r.forget(reserved) }, nil
}

func typedService(obj resource.Object) *corev1.Service {
	if obj == nil {
		return nil
	}
	return obj.(*corev1.Service)
}
