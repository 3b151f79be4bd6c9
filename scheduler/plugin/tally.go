package plugin

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// place is a number for the nodes that have one value of a label; nowhere is
// for those without the label.
type place = int32

const nowhere place = -1

// places are the values that nodes have of one label.
type places struct {
	key    string
	at     []place // by slot
	number map[string]place
}

func (p *places) reset(nodes []*snapshot.Node) {
	p.at = p.at[:0]
	if p.number == nil {
		p.number = map[string]place{}
	}
	clear(p.number)
	for _, n := range nodes {
		value, ok := n.Object.Labels[p.key]
		if !ok {
			p.at = append(p.at, nowhere)
			continue
		}
		at, known := p.number[value]
		if !known {
			at = place(len(p.number))
			p.number[value] = at
		}
		p.at = append(p.at, at)
	}
}

// tally counts, in each place, the pods that it is about.
type tally struct {
	places
	of     func(p *snapshot.Pod) bool
	counts func(n *snapshot.Node) bool // nil is every node
	sums   []int64                     // by place
	nodes  []int32                     // of the place, that count
	in     []bool                      // by slot: whether the node counts
	total  int64
}

func (t *tally) Reset(s *snapshot.Snapshot) {
	nodes := s.Nodes()
	t.places.reset(nodes)
	t.sums = append(t.sums[:0], make([]int64, len(t.number))...)
	t.nodes = append(t.nodes[:0], make([]int32, len(t.number))...)
	t.in = append(t.in[:0], make([]bool, len(nodes))...)
	t.total = 0
	for slot, n := range nodes {
		at := t.at[slot]
		if at == nowhere || t.counts != nil && !t.counts(n) {
			continue
		}
		t.in[slot] = true
		t.nodes[at]++
		for _, p := range n.Pods {
			t.Change(n, p, 1)
		}
	}
}

func (t *tally) Change(n *snapshot.Node, p *snapshot.Pod, sign int64) {
	if t.in[n.Slot] && t.of(p) {
		t.sums[t.at[n.Slot]] += sign
		t.total += sign
	}
}

// perNode counts the pods on each node that it is about.
type perNode struct {
	of   func(p *snapshot.Pod) bool
	sums []int64 // by slot
}

func (t *perNode) Reset(s *snapshot.Snapshot) {
	t.sums = append(t.sums[:0], make([]int64, len(s.Nodes()))...)
	for _, n := range s.Nodes() {
		for _, p := range n.Pods {
			t.Change(n, p, 1)
		}
	}
}

func (t *perNode) Change(n *snapshot.Node, p *snapshot.Pod, sign int64) {
	if t.of(p) {
		t.sums[n.Slot] += sign
	}
}

// weights sums what pods give to the places that they name: the keys are theirs.
type weights struct {
	// of calls give for each place, by its label, that the pod gives something to.
	of func(p *snapshot.Pod, give func(key string, amount int64))
	// all is set where pods count that care for no others.
	all bool

	s     *snapshot.Snapshot
	byKey []*sum
	found int64 // how many gifts there are
}

// sum is the places of one label with what they were given.
type sum struct {
	places
	sums []int64
}

func (w *weights) Reset(s *snapshot.Snapshot) {
	w.s, w.byKey, w.found = s, nil, 0
	if !w.all {
		for p, n := range s.Sociable() {
			if n.Object != nil {
				w.Change(n, p, 1)
			}
		}
		return
	}
	for _, n := range s.Nodes() {
		for _, p := range n.Pods {
			w.Change(n, p, 1)
		}
	}
}

func (w *weights) Change(n *snapshot.Node, p *snapshot.Pod, sign int64) {
	if p.Social == nil && !w.all {
		return
	}
	w.of(p, func(key string, amount int64) {
		t := w.on(key)
		if at := t.at[n.Slot]; at != nowhere {
			t.sums[at] += sign * amount
			w.found += sign
		}
	})
}

func (w *weights) on(key string) *sum {
	for _, t := range w.byKey {
		if t.key == key {
			return t
		}
	}
	t := &sum{places: places{key: key}}
	t.reset(w.s.Nodes())
	t.sums = make([]int64, len(t.number))
	w.byKey = append(w.byKey, t)
	return t
}

// total is what the places of the node were given.
func (w *weights) total(n *snapshot.Node) (total int64) {
	for _, t := range w.byKey {
		if at := t.at[n.Slot]; at != nowhere {
			total += t.sums[at]
		}
	}
	return total
}

// given returns a label whose place at the node was given anything.
func (w *weights) given(n *snapshot.Node) (key string, ok bool) {
	for _, t := range w.byKey {
		if at := t.at[n.Slot]; at != nowhere && t.sums[at] != 0 {
			return t.key, true
		}
	}
	return "", false
}

func matchesAll(s *snapshot.Snapshot, terms []snapshot.Term, pod *corev1.Pod) bool {
	for i := range terms {
		if !terms[i].Matches(s, pod) {
			return false
		}
	}
	return true
}
