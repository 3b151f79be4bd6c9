package cause

import (
	"cmp"
	"slices"
)

// Trace is what led to an object: every write of it that is remembered, each below
// the write that led to it.
type Trace struct {
	Object Ref     `json:"object"` // Revision is 0
	Writes []*Step `json:"writes"` // where it begins
}

// Step is a write and what it led to, as far as that is on the way to the object.
type Step struct {
	Write
	// Hidden tells that the reader may not read the object: then only revision and
	// time are there.
	Hidden bool    `json:"hidden,omitempty"`
	Led    []*Step `json:"led,omitempty"`
}

// Trace returns what led to an object, empty if nothing is remembered. may tells
// which objects its reader may read.
func (m *Memory) Trace(resource, namespace, name string, may func(Ref) bool) Trace {
	t := Trace{Object: Ref{Resource: resource, Namespace: namespace, Name: name}}
	steps := map[Ref]*Step{}
	for _, w := range m.of(t.Object.object()) {
		m.step(&t, steps, &w, may, depth)
	}
	sortSteps(t.Writes)
	return t
}

// step returns the step of a write, which it hangs below what led to it.
func (m *Memory) step(t *Trace, steps map[Ref]*Step, w *Write, may func(Ref) bool, left int) *Step {
	if s := steps[w.Ref]; s != nil {
		return s
	}
	s := &Step{Write: *w}
	steps[w.Ref] = s
	var parent *Write
	// A chain never leads forward: a false claim cannot make it a circle.
	if w.After.Revision > 0 && w.After.Revision < w.to() && left > 0 {
		if parent = m.at(w.After); parent != nil && (parent.Revision >= w.Revision || parent.Ref == w.Ref) {
			parent = nil
		}
	}
	if !may(w.Ref) {
		*s = Step{Write: Write{Ref: Ref{Revision: w.Revision}, Time: w.Time}, Hidden: true}
	} else if w.After.Revision > 0 && !may(w.After) {
		s.After = Ref{Revision: w.After.Revision}
	}
	if parent == nil {
		t.Writes = append(t.Writes, s)
		return s
	}
	above := m.step(t, steps, parent, may, left-1)
	above.Led = append(above.Led, s)
	return s
}

func sortSteps(steps []*Step) {
	slices.SortFunc(steps, func(a, b *Step) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, s := range steps {
		sortSteps(s.Led)
	}
}
