package cause

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func ref(name string, revision int64) Ref {
	return Ref{Resource: "pods", Namespace: "shop", Name: name, Revision: revision}
}

func write(name string, revision int64, after Ref) Write {
	return Write{Ref: ref(name, revision), Time: noon.Add(time.Duration(revision) * time.Millisecond), User: "u", Verb: "update", After: after}
}

func told(name string, revision int64, changes ...Change) Write {
	w := write(name, revision, Ref{})
	w.Subresource, w.Changes = status, changes
	return w
}

func TestRefText(t *testing.T) {
	for _, r := range []Ref{ref("web", 7), {Resource: "nodes", Name: "n@1", Revision: 1}, {Resource: "roles.rbac", Namespace: "a", Name: "ö x\n", Revision: 9}} {
		got, err := ParseRef(r.String())
		if err != nil || got != r || strings.ContainsAny(r.String(), "\n ö") {
			t.Errorf("%+v: %q gives %+v, %v", r, r, got, err)
		}
	}
	for _, text := range []string{"", "-", "pods/a@1", "pods/a/b", "pods/a/b@", "pods/a/b@-1", "pods/a/%zz@1", "@"} {
		if _, err := ParseRef(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// Statuses of one writer in a row are one step, from the first to the last.
func TestStatusesInARowAreOne(t *testing.T) {
	m := NewMemory(Limit)
	m.Add(told("a", 2, Change{"ready", "0", "1"}, Change{"phase", "A", "B"}))
	m.Add(told("a", 3, Change{"ready", "1", "2"}, Change{"phase", "B", "A"}))
	m.Add(told("a", 5, Change{"ready", "2", "3"}))
	late := told("a", 6, Change{"ready", "3", "4"})
	late.Time = late.Time.Add(alikeFor)
	m.Add(late)
	got := m.of(ref("a", 0).object())
	if len(got) != 2 || got[0].Count != 3 || got[0].Last != 5 || !reflect.DeepEqual(got[0].Changes, []Change{{"ready", "0", "3"}}) {
		t.Errorf("%+v", got)
	}
	if m.at(ref("a", 4)).Revision != 2 || m.at(ref("a", 6)).Revision != 6 || m.at(ref("a", 1)) != nil {
		t.Error("a revision gives another write")
	}
}

// What came later is found whatever the order in which it is told, once.
func TestRecall(t *testing.T) {
	m := NewMemory(Limit)
	m.Add(write("a", 9, Ref{}))
	for _, revision := range []int64{4, 9, 2, 4, 12} {
		m.Recall(write("a", revision, Ref{}))
	}
	var got []int64
	for _, w := range m.of(ref("a", 0).object()) {
		got = append(got, w.Revision)
	}
	if !reflect.DeepEqual(got, []int64{2, 4, 9, 12}) {
		t.Errorf("%v", got)
	}
}

// One object's many writes cost what is least telling; of many objects those go
// that led to nothing for longest.
func TestMemoryIsBounded(t *testing.T) {
	m := NewMemory(200)
	m.Add(write("root", 1, Ref{}))
	m.Add(write("set", 2, ref("root", 1)))
	revision := int64(3)
	for i := range 1000 {
		m.Add(write(fmt.Sprintf("pod-%d", i), revision, ref("set", 2)))
		w := told("set", revision+1)
		w.User = fmt.Sprint("u", i)
		m.Add(w)
		revision += 2
	}
	if m.total > 200 || len(m.of(ref("set", 0).object())) > limitEach {
		t.Errorf("%d writes are kept, %d of one object", m.total, len(m.of(ref("set", 0).object())))
	}
	trace := m.Trace("pods", "shop", "pod-999", func(Ref) bool { return true })
	if len(trace.Writes) != 1 || trace.Writes[0].Name != "root" || trace.Writes[0].Led[0].Name != "set" || trace.Writes[0].Led[0].Led[0].Name != "pod-999" {
		t.Errorf("the chain is not whole: %s", printed(trace))
	}
	if len(m.of(ref("pod-0", 0).object())) != 0 {
		t.Error("the eldest is still there")
	}
}

func printed(t Trace) string {
	var b strings.Builder
	t.Print(&b, time.UTC)
	return b.String()
}

// A claim that cannot be true does not make a circle.
func TestTraceWithFalseClaims(t *testing.T) {
	m := NewMemory(Limit)
	m.Add(write("a", 2, ref("b", 3)))
	m.Add(write("b", 3, ref("a", 2)))
	m.Add(write("b", 4, ref("b", 4)))
	m.Add(write("a", 5, ref("c", 1)))
	got := printed(m.Trace("pods", "shop", "a", func(Ref) bool { return true }))
	if strings.Count(got, "pods/a") != 2 || !strings.Contains(got, "(a change of pods/c that is no longer remembered led to this:)") {
		t.Errorf("%s", got)
	}
}

func TestBatch(t *testing.T) {
	writes := []Write{write("a", 2, Ref{}), told("b", 3, Change{"x", "", "1"})}
	data, err := Encode(writes)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || !reflect.DeepEqual(got, writes) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Decode(data[:len(data)/2]); err == nil {
		t.Error("half of it is taken")
	}
}

func BenchmarkAdd(b *testing.B) {
	m := NewMemory(Limit)
	m.Add(write("root", 1, Ref{}))
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprint("pod-", i)
	}
	b.ReportAllocs()
	revision := int64(2)
	for b.Loop() {
		m.Add(write(names[revision%10000], revision, ref("root", 1)))
		revision++
	}
}

// A tree as people see it: of two requests, with statuses side by side, and
// without what the reader may not read.
func TestPrint(t *testing.T) {
	m := NewMemory(Limit)
	web := Ref{Resource: "deployments.apps", Namespace: "shop", Name: "web", Revision: 2}
	m.Add(Write{Ref: web, Time: noon, User: "alice", Manager: "kubectl", Request: "0123abcd-1", Verb: "patch", Subresource: "scale", Changes: []Change{{"spec.replicas", "1", "3"}}})
	set := Ref{Resource: "replicasets.apps", Namespace: "shop", Name: "web-x", Revision: 3}
	m.Add(Write{Ref: set, Time: noon, User: "system:serviceaccount:kube-system:deployment-controller", Verb: "update", After: web})
	m.Add(Write{Ref: ref("a", 4), Time: noon, User: "system:serviceaccount:kube-system:replicaset-controller", Verb: "create", After: set})
	m.Add(Write{Ref: ref("a", 5), Time: noon, User: "system:kube-scheduler", Verb: "create", Subresource: "binding", After: ref("a", 4), Reason: "the best", Changes: []Change{{"spec.nodeName", "", "n"}}})
	for i, user := range []string{"system:node:n", "bob", "system:node:n"} {
		w := told("a", int64(6+i), Change{"status.phase", Composite, Composite}, Change{"status.podIP", "", "10.1.1.1"}, Change{"x", "1", ""})
		w.Time, w.User, w.After = noon.Add(time.Duration(i)*24*time.Hour), user, ref("a", int64(5+i))
		m.Add(w)
	}
	m.Add(Write{Ref: ref("a", 9), Time: noon.Add(49 * time.Hour), User: "carol", Request: "7", Verb: "delete", Removed: true})
	want := `2030-01-02
12:00:00.000  alice (kubectl, request 0123abcd) scales deployments.apps/web: spec.replicas 1 → 3
12:00:00.000  └─ a write of an object that you may not read
12:00:00.000     └─ replicaset-controller creates pods/a
12:00:00.000        └─ scheduler binds pods/a: spec.nodeName → n (the best)
12:00:00.000           ├─ node n tells the status of pods/a: status.phase, status.podIP → 10.1.1.1, x 1 → nothing
2030-01-03
12:00:00.000           ├─ bob tells the status of pods/a: status.phase, status.podIP → 10.1.1.1, x 1 → nothing
2030-01-04
12:00:00.000           └─ node n tells the status of pods/a: status.phase, status.podIP → 10.1.1.1, x 1 → nothing
13:00:00.000  carol (request 7) removes pods/a
`
	got := printed(m.Trace("pods", "shop", "a", func(r Ref) bool { return r.Resource != "replicasets.apps" }))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
