package admission

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
)

// Rounds is what is remembered of mutation by webhooks, to ask some of them
// again: where a webhook changes the object, all mutating steps run a second
// time, and in it those webhooks are asked again that want to see later changes
// (KEP-492, reinvocationPolicy).
type Rounds struct {
	// Second is set in the second round. There is no third.
	Second bool
	// wanted asks for the second round.
	wanted bool
	// asked have seen the object, and want to see later changes; due are those
	// of them after whom it has changed.
	asked, due map[string]bool
	last       runtime.Object // as the last webhook left it
}

// Begin starts the webhooks' part of a round. In the second one, other steps may
// have changed the object since the last webhook.
func (r *Rounds) Begin(obj runtime.Object) {
	if r.Second && !apiequality.Semantic.DeepEqual(r.last, obj) {
		r.remind()
	}
}

// End ends the webhooks' part of a round.
func (r *Rounds) End(obj runtime.Object) {
	if r.last = nil; obj != nil && !r.Second {
		r.last = obj.DeepCopyObject()
	}
}

// Asks tells whether a webhook is asked in this round.
func (r *Rounds) Asks(id string) bool { return !r.Second || r.due[id] }

// Asked notes that a webhook that wants to see later changes was asked.
func (r *Rounds) Asked(id string) {
	if r.asked == nil {
		r.asked = map[string]bool{}
	}
	r.asked[id] = true
}

// Changed notes that a webhook changed the object.
func (r *Rounds) Changed() {
	r.wanted = true
	r.remind()
}

func (r *Rounds) remind() {
	for id := range r.asked {
		if r.due == nil {
			r.due = map[string]bool{}
		}
		r.due[id] = true
	}
	r.asked = nil
}
