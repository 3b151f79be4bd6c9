package election

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	// renewEvery is how often a leader shows that it lives while others wait.
	renewEvery = 150 * time.Millisecond
	// patience is how long the others see no renewal before one takes over. With
	// the time that starting takes it stays below a second.
	patience = 600 * time.Millisecond
	// giveUp is how long a leader goes on whose renewals fail: it has stopped by
	// the time that another may take over.
	giveUp = 450 * time.Millisecond
	// announceEvery is how often a candidate shows that it lives, and absent how
	// long it is not seen to before the leader forgets it.
	announceEvery = 10 * time.Second
	absent        = 3 * announceEvery
)

// candidateFor labels the leases of those that wait.
const candidateFor = "skiff.sh/candidate-for"

// deed is what a server is to do next about the election.
type deed int

const (
	wait     deed = iota // until the time given, or until a lease changes
	announce             // that it waits: create or renew its own candidate's lease
	take                 // the lease, which is free, its own or not renewed
	renew                // the lease
	leave                // leadership, which is lost
	forget               // a candidate that is gone
)

func (d deed) String() string {
	return [...]string{"wait", "announce", "take", "renew", "leave", "forget"}[d]
}

// sighting is a version of a lease, and when it was first seen by this server's
// own clock: those of other machines are not trusted.
type sighting struct {
	version string
	at      time.Time
}

// state is what one server knows of an election.
type state struct {
	name, me string
	// term is what it leads by, zero while it does not; renewed is when the last
	// renewal that succeeded was sent.
	term      Term
	renewed   time.Time
	announced time.Time
	// contested says that others wait: without them nobody can take over.
	contested bool
	seen      map[types.UID]sighting
}

// observe notes which leases have changed, and whether others wait.
func (s *state) observe(v *view.View, now time.Time) {
	seen, contested := map[types.UID]sighting{}, false
	for l := range view.List(v, resource.Leases, Namespace) {
		waits := l.Labels[candidateFor] == s.name
		if l.Name != s.name && !waits {
			continue
		}
		contested = contested || waits && holder(l) != s.me
		last, known := s.seen[l.UID]
		if !known || last.version != l.ResourceVersion {
			last = sighting{l.ResourceVersion, now}
		}
		seen[l.UID] = last
	}
	if contested && !s.contested {
		s.renewed = now.Add(-renewEvery) // until now it was as good as renewed
	}
	s.seen, s.contested = seen, contested
}

// next decides what to do, and until when to wait where that is nothing; about
// is the lease that it is about, nil for none.
func (s *state) next(v *view.View, now time.Time) (do deed, about *coordinationv1.Lease, until time.Time) {
	lease, held := view.Get(v, resource.Leases, Namespace, s.name)
	if s.term.Revision == 0 {
		return s.nextWaiting(v, lease, held, now)
	}
	if !held || lease.UID != s.term.uid {
		return leave, nil, now
	}
	return s.nextLeading(v, lease, now)
}

func (s *state) nextWaiting(v *view.View, lease *coordinationv1.Lease, held bool, now time.Time) (deed, *coordinationv1.Lease, time.Time) {
	if !held {
		return take, nil, now
	}
	late := s.seen[lease.UID].at.Add(patience)
	if holder(lease) == s.me || !now.Before(late) {
		return take, lease, now
	}
	own, there := view.Get(v, resource.Leases, Namespace, s.candidate())
	again := s.announced.Add(announceEvery)
	if !there || !now.Before(again) {
		return announce, own, now
	}
	return wait, nil, earlier(late, again)
}

func (s *state) nextLeading(v *view.View, lease *coordinationv1.Lease, now time.Time) (deed, *coordinationv1.Lease, time.Time) {
	var until time.Time
	for l := range view.List(v, resource.Leases, Namespace) {
		if l.Labels[candidateFor] != s.name {
			continue
		}
		gone := s.seen[l.UID].at.Add(absent)
		if holder(l) == s.me || !now.Before(gone) {
			return forget, l, now
		}
		until = earlier(until, gone)
	}
	if !s.contested {
		return wait, nil, time.Time{}
	}
	if !now.Before(s.renewed.Add(giveUp)) {
		return leave, lease, now
	}
	if due := s.renewed.Add(renewEvery); now.Before(due) {
		return wait, nil, earlier(until, due)
	}
	return renew, lease, now
}

// candidate is the name of the lease by which this server says that it waits.
func (s *state) candidate() string { return s.name + "-candidate-" + s.me }

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// earlier returns the first of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
