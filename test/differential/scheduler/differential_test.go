package scheduler

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	ours "github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

var (
	seeds = flag.Uint64("seeds", 300, "how many worlds are compared")
	first = flag.Uint64("first", 1, "the seed of the first")
)

// tally counts what agrees, by what is compared.
type tally map[string][2]int

func (t tally) add(what string, same bool) {
	n := t[what]
	if same {
		n[0]++
	}
	n[1]++
	t[what] = n
}

// TestDecisions makes worlds from seeds and asks both sides of each pending pod:
// which nodes it fits, why not the others, how every rule rates those it fits,
// and who would have to leave the others.
func TestDecisions(t *testing.T) {
	agree := tally{}
	for seed := *first; seed < *first+*seeds; seed++ {
		compare(t, seed, agree)
	}
	for _, what := range slices.Sorted(maps.Keys(agree)) {
		t.Logf("%-45s %d of %d agree", what, agree[what][0], agree[what][1])
	}
}

func compare(t *testing.T, seed uint64, agree tally) {
	t.Helper()
	w := newWorld(seed)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	theirs, err := newUpstream(ctx, w)
	if err != nil {
		t.Fatal(err)
	}
	mine := newSkiff(w)
	for _, pod := range w.pending {
		want, err := theirs.ask(ctx, pod)
		if err != nil {
			t.Fatalf("seed %d: %s: ask upstream: %v", seed, pod.Name, err)
		}
		got := mine.ask(pod)
		check := func(what, node string, got, want any) {
			same := fmt.Sprint(got) == fmt.Sprint(want)
			agree.add(what, same)
			if !same {
				t.Errorf("seed %d: %s on %q: %s: got %v, upstream %v", seed, pod.Name, node, what, got, want)
			}
		}
		check("fits no node at all", "", got.never, want.never)
		for _, n := range w.nodes {
			check("fits, or why not", n.Name, got.rejected[n.Name], want.rejected[n.Name])
			if v, tried := want.victims[n.Name]; tried && (v == got.victims[n.Name] || w.excused(pod, n.Name) == "") {
				check("victims", n.Name, got.victims[n.Name], v)
			}
		}
		for rule, scores := range byRule(want.scores) {
			other := byRule(got.scores)[rule]
			if other == nil && constant(scores) {
				agree.add("score of "+rule, true)
				continue
			}
			for node, score := range scores {
				check("score of "+rule, node, other[node], score)
			}
		}
	}
}

func byRule(scores map[string]map[string]int64) map[string]map[string]int64 {
	rules := map[string]map[string]int64{}
	for node, by := range scores {
		for rule, score := range by {
			if rules[rule] == nil {
				rules[rule] = map[string]int64{}
			}
			rules[rule][node] = score
		}
	}
	return rules
}

// constant tells whether a rule rates all nodes alike.
func constant(scores map[string]int64) bool {
	values := slices.Collect(maps.Values(scores))
	return slices.Min(values) == slices.Max(values)
}

// skiff is Skiff's rules over a world.
type skiff struct {
	core *ours.Core
	snap *snapshot.Snapshot
}

func newSkiff(w *world) *skiff {
	p := ours.DefaultProfile()
	s := &skiff{core: ours.NewCore(p.Filters, p.Scores), snap: snapshot.New()}
	for _, n := range w.nodes {
		s.snap.SetNode(n)
	}
	for _, obj := range w.others {
		ours.Follow(s.snap, obj.(resource.Object))
	}
	for _, b := range w.budgets {
		s.snap.Budgets.Set(b)
	}
	for _, p := range w.placed {
		s.snap.SetPod(p)
	}
	return s
}

func (s *skiff) ask(pod *corev1.Pod) answer {
	a := answer{rejected: map[string]string{}, victims: map[string]string{}}
	p := snapshot.NewPod(pod)
	e := s.core.Examine(s.snap, p)
	for i, r := range e.Never {
		if i > 0 {
			a.never += ", "
		}
		a.never += r.Text
	}
	for node, r := range e.Rejected {
		var texts []string
		for _, reason := range r.Reasons {
			texts = append(texts, reason.Text)
		}
		slices.Sort(texts)
		a.rejected[node] = fmt.Sprintf("%s %q %v", r.Plugin, texts, r.Unresolvable)
		if !r.Unresolvable {
			victims, violations := s.core.Victims(s.snap, p, node)
			var names []string
			for _, v := range victims {
				names = append(names, v.Key.Name)
			}
			slices.Sort(names) // of two that started at one time either comes first
			a.victims[node] = fmt.Sprint(names, violations)
		}
	}
	if e.Only != nil {
		for _, n := range s.snap.Nodes() {
			if !slices.Contains(e.Only, n.Name) {
				a.rejected[n.Name] = "NodeAffinity"
			}
		}
	}
	a.scores = e.Scores
	return a
}
