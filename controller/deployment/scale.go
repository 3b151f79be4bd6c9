package deployment

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
)

// size is how many pods are asked for; the API's default is 1.
func (r *rollout) size() int32 {
	if r.d.Spec.Replicas == nil {
		return 1
	}
	return *r.d.Spec.Replicas
}

// want is how many pods a ReplicaSet is asked for.
func want(rs *appsv1.ReplicaSet) int32 {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return *rs.Spec.Replicas
}

// bounds resolves maxSurge (rounded up) and maxUnavailable (rounded down). Both
// zero would never end, so then one pod may be unavailable.
func (r *rollout) bounds() (surge, unavailable int32) {
	u := r.d.Spec.Strategy.RollingUpdate
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType || u == nil {
		return 0, 0
	}
	n := int(r.size())
	surge = resolve(u.MaxSurge, n, true)
	unavailable = resolve(u.MaxUnavailable, n, false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

func resolve(value *intstr.IntOrString, of int, up bool) int32 {
	n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(value, intstr.FromInt32(0)), of, up)
	if err != nil {
		return 0 // the API does not let it be so
	}
	return int32(n)
}

func (r *rollout) surge() int32 {
	surge, _ := r.bounds()
	return surge
}

// unavailable is how many pods may be missing.
func (r *rollout) unavailable() int32 {
	_, n := r.bounds()
	return min(n, r.size())
}

// all returns every ReplicaSet, the old ones first.
func (r *rollout) all() []*appsv1.ReplicaSet {
	all := slices.Clone(r.old)
	if r.new != nil {
		all = append(all, r.new)
	}
	return all
}

func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var some []*appsv1.ReplicaSet
	for _, rs := range sets {
		if want(rs) > 0 {
			some = append(some, rs)
		}
	}
	return some
}

func sum(sets []*appsv1.ReplicaSet, of func(*appsv1.ReplicaSet) int32) (n int32) {
	for _, rs := range sets {
		n += of(rs)
	}
	return n
}

func available(rs *appsv1.ReplicaSet) int32 { return rs.Status.AvailableReplicas }

// roomForNew is the size that the current ReplicaSet may have now.
func (r *rollout) roomForNew() int32 {
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return r.size()
	}
	room := r.size() + r.surge() - sum(r.all(), want)
	if room <= 0 {
		return want(r.new)
	}
	return want(r.new) + min(room, r.size()-want(r.new))
}

// resize asks a ReplicaSet for n pods.
func (r *rollout) resize(rs *appsv1.ReplicaSet, n int32) {
	desired, most := r.size(), r.size()+r.surge()
	if want(rs) == n && sizesNoted(rs, desired, most) {
		return
	}
	rs = r.edit(rs)
	noteSizes(rs, desired, most)
	rs.Spec.Replicas = &n
}

// flush plans the writes of the ReplicaSets that were changed, each once.
func (r *rollout) flush() {
	for _, rs := range r.all() {
		if !r.edited[rs] {
			continue
		}
		delete(r.edited, rs)
		r.plan.Do = append(r.plan.Do, client.Update(resource.ReplicaSets, rs))
		before, now := r.before(rs), want(rs)
		if before == now {
			continue
		}
		direction := "up"
		if now < before {
			direction = "down"
		}
		r.note(false, "ScalingReplicaSet", fmt.Sprintf("Scaled %s replica set %s from %d to %d", direction, rs.Name, before, now), len(r.plan.Do))
	}
}

// spread follows a change of the Deployment's size: the one ReplicaSet that is
// active takes it all; in the middle of a rollout each gets its share.
func (r *rollout) spread() {
	defer r.flush()
	if rs := r.activeOrLatest(); rs != nil {
		r.resize(rs, r.size())
		return
	}
	if r.saturated() {
		for _, rs := range active(r.old) {
			r.resize(rs, 0)
		}
		return
	}
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return
	}
	sets := active(r.all())
	most := int32(0)
	if r.size() > 0 {
		most = r.size() + r.surge()
	}
	r.share(sets, most-sum(sets, want))
}

// share adds n pods (or takes away -n) in proportion to the sizes. What
// rounding leaves goes to the largest.
func (r *rollout) share(sets []*appsv1.ReplicaSet, n int32) {
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		age := byAge(a, b)
		if n > 0 {
			age = -age // the newest of equals grows
		}
		return cmp.Or(-cmp.Compare(want(a), want(b)), age)
	})
	sizes := make([]int32, len(sets))
	var given int32
	for i, rs := range sets {
		part := int32(0)
		if n > 0 {
			part = min(r.fraction(rs), n-given)
		} else if n < 0 {
			part = max(r.fraction(rs), n-given)
		}
		sizes[i] = want(rs) + part
		given += part
	}
	for i, rs := range sets {
		if i == 0 && n != 0 {
			sizes[0] = max(0, sizes[0]+n-given)
		}
		r.resize(rs, sizes[i])
	}
}

// fraction is the share of a ReplicaSet in a change of size, given the size
// that the Deployment had when it was scaled last.
func (r *rollout) fraction(rs *appsv1.ReplicaSet) int32 {
	if r.size() == 0 {
		return -want(rs)
	}
	most, ok := annotated(rs, maxAnnotation)
	if !ok || most == 0 {
		most = r.d.Status.Replicas
	}
	if most == 0 {
		return 0
	}
	next := float64(want(rs)) * float64(r.size()+r.surge()) / float64(most)
	return int32(math.Round(next)) - want(rs)
}

// activeOrLatest is the only active ReplicaSet, or the latest if none is; nil if
// there are several.
func (r *rollout) activeOrLatest() *appsv1.ReplicaSet {
	switch some := active(r.all()); {
	case len(some) == 1:
		return some[0]
	case len(some) > 1:
		return nil
	case r.new != nil:
		return r.new
	case len(r.old) > 0:
		return r.old[len(r.old)-1]
	}
	return nil
}

// saturated says that the current ReplicaSet has all the pods, and available.
func (r *rollout) saturated() bool {
	if r.new == nil {
		return false
	}
	desired, ok := annotated(r.new, desiredAnnotation)
	return ok && want(r.new) == r.size() && desired == r.size() && available(r.new) == r.size()
}

// scaled says that the Deployment's size has changed since its ReplicaSets were
// scaled.
func (r *rollout) scaled() bool {
	for _, rs := range active(r.all()) {
		if desired, ok := annotated(rs, desiredAnnotation); ok && desired != r.size() {
			return true
		}
	}
	return false
}

// before is the size of a ReplicaSet in the view.
func (r *rollout) before(rs *appsv1.ReplicaSet) int32 {
	return want(r.stored(rs))
}
