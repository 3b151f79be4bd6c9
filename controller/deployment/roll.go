package deployment

import (
	appsv1 "k8s.io/api/apps/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// stored returns the view's state of a ReplicaSet.
func (r *rollout) stored(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if old, ok := view.Get(r.v, resource.ReplicaSets, rs.Namespace, rs.Name); ok {
		return old
	}
	return rs
}

// recreate ends all old pods before it starts new ones.
func (r *rollout) recreate() {
	r.keep()
	for _, rs := range active(r.old) {
		r.resize(rs, 0)
	}
	stopping := len(r.edited) > 0
	r.flush()
	if stopping || r.podsRun() {
		r.rolloutStatus()
		return
	}
	if !r.ensure() {
		return
	}
	if !r.created && want(r.new) != r.size() {
		r.resize(r.new, r.size())
	}
	r.flush()
	r.tidy()
	r.rolloutStatus()
}

// roll replaces old pods by new ones within the bounds of the strategy: one
// step up, else one step down, per call.
func (r *rollout) roll() {
	if !r.ensure() {
		return
	}
	if r.created {
		r.rolloutStatus()
		return
	}
	switch before := want(r.new); {
	case before > r.size():
		r.resize(r.new, r.size())
	case before < r.size():
		if n := r.roomForNew(); n != before {
			r.resize(r.new, n)
		}
	}
	if want(r.new) == r.before(r.new) {
		r.shrinkOld()
	}
	r.flush()
	r.tidy()
	r.rolloutStatus()
}

// tidy deletes old revisions when the rollout is done.
func (r *rollout) tidy() {
	if r.complete(r.d.Status) {
		r.cleanup()
	}
}

// shrinkOld takes away old pods, those that do not work first.
func (r *rollout) shrinkOld() {
	old := active(r.old)
	if len(old) == 0 {
		return
	}
	least := r.size() - r.unavailable()
	missing := want(r.new) - available(r.new)
	room := sum(r.all(), want) - least - missing
	if room <= 0 {
		return
	}
	var broken int32
	for _, rs := range old {
		n := min(room-broken, want(rs)-available(rs))
		if n > 0 {
			r.resize(rs, want(rs)-n)
			broken += n
		}
	}
	spare := sum(r.all(), available) - least
	for _, rs := range active(r.old) {
		if n := min(spare, want(rs)); n > 0 {
			r.resize(rs, want(rs)-n)
			spare -= n
		}
	}
}
