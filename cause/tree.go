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
	parent := m.parent(w)
	for parent != nil && w.Subresource == status && parent.Subresource == status && w.object() == parent.object() {
		parent = m.parent(parent) // each status follows the one before: they stand side by side
	}
	if left == 0 {
		parent = nil
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

// parent is the write that led to another. A chain never leads forward: a false
// claim cannot make it a circle.
func (m *Memory) parent(w *Write) *Write {
	if w.After.Revision == 0 {
		return nil
	}
	if p := m.at(w.After); p != nil && p.Revision < w.Revision {
		return p
	}
	return nil
}

func sortSteps(steps []*Step) {
	slices.SortFunc(steps, func(a, b *Step) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, s := range steps {
		sortSteps(s.Led)
	}
}
