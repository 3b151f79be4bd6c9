package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "record the agreement that there is as the floor")

// ciSeeds is how many generated scenes of each kind a test run plays.
const ciSeeds = 4

// floorFile holds how many of the steps of all, of each verb and of each kind
// may disagree. Steps of kinds that it does not know count for their kind alone.
const floorFile = "testdata/floor.json"

// How many more may disagree than once did, before that counts. What chance
// brings is made comparable (see sameWords and mayLag); this is for the rest.
const (
	kindSlack  = 2
	totalSlack = 3 // of all and of a verb
)

// TestAgreement plays the hand-picked scenes and a few generated ones, and fails
// where Skiff agrees less with upstream than it once did.
func TestAgreement(t *testing.T) {
	p, err := startPair(t.Context(), "../../bench", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	scenes, err := p.examine(t.Context(), &options{first: 1, workers: 4, picked: true})
	if err != nil {
		t.Fatal(err)
	}
	for text, c := range scenes.Causes { // hand-picked scenes agree, all of them
		t.Errorf("%s, step %s: %s", c.Scene, c.Step, text)
	}
	r, err := p.examine(t.Context(), &options{first: 1, last: ciSeeds, workers: 4})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		record(t, r.disagreeing(nil))
	}
	text, err := os.ReadFile(floorFile)
	if err != nil {
		t.Fatal(err)
	}
	var floor map[string]int
	if err := json.Unmarshal(text, &floor); err != nil {
		t.Fatal(err)
	}
	found := r.disagreeing(floor)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		slack := totalSlack
		if strings.HasPrefix(name, "kind ") {
			slack = kindSlack
		}
		if found[name] > floor[name]+slack {
			t.Errorf("%s disagrees in %d steps, want at most %d and %d by chance", name, found[name], floor[name], slack)
		}
	}
	var out strings.Builder
	r.print(&out, 25)
	t.Log("\n" + out.String())
}

func record(t *testing.T, floor map[string]int) {
	t.Helper()
	data, err := json.MarshalIndent(floor, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(floorFile, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestExceptions holds the list of what stays different to the one that users
// read.
func TestExceptions(t *testing.T) {
	text, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	var written, coded []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		written = append(written, m[1])
	}
	for _, e := range exceptions {
		coded = append(coded, e.name)
	}
	if fmt.Sprint(written) != fmt.Sprint(coded) {
		t.Errorf("docs/compatibility.md lists %v, exception.go %v", written, coded)
	}
}

// TestScenesRead holds that a scene printed is the scene read.
func TestScenesRead(t *testing.T) {
	scenes, err := pickedScenes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range scenes {
		var text strings.Builder
		text.WriteString("== " + c.name + "\n")
		for i := range c.steps {
			text.WriteString(c.steps[i].String())
		}
		again, err := parse("", text.String())
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.steps {
			if again[0].steps[i].String() != c.steps[i].String() {
				t.Errorf("%s, step %d: read %s, want %s", c.name, i, again[0].steps[i].String(), c.steps[i].String())
			}
		}
	}
}

func TestMask(t *testing.T) {
	m := newMasker()
	m.sent.WriteString("2020-01-01T00:00:00Z 10.96.0.7")
	for _, c := range []struct{ in, want string }{
		{`{"uid":"8a1b2c3d-0000-4000-8000-123456789abc","n":1}`, `{"n":1,"uid":"‹uid1›"}`},
		{`{"metadata":{"resourceVersion":"7"}}`, `{"metadata":{"resourceVersion":"‹rv1›"}}`},
		{`{"metadata":{"resourceVersion":"9"}}`, `{"metadata":{"resourceVersion":"‹rv2›"}}`},
		{`{"metadata":{"resourceVersion":"7"}}`, `{"metadata":{"resourceVersion":"‹rv1›"}}`},
		{`{"items":[],"metadata":{"resourceVersion":"12"}}`, `{"items":[],"metadata":{"resourceVersion":"‹rv›"}}`},
		{`{"t":"2020-01-01T00:00:00Z"}`, `{"t":"2020-01-01T00:00:00Z"}`},
		{`{"t":"2019-01-01T00:00:00Z"}`, `{"t":"2019-01-01T00:00:00Z"}`},
		{`{"clusterIP":"10.96.0.7","other":"10.96.3.4"}`, `{"clusterIP":"10.96.0.7","other":"‹ip›"}`},
		{`{"metadata":{"generateName":"a-","name":"a-x7v9q"}}`, `{"metadata":{"generateName":"a-","name":"a-‹generated›"}}`},
		{`{"message":"a-x7v9q is too new: resourceVersion: 55"}`, `{"message":"a-‹generated› is too new: resourceVersion: ‹rv›"}`},
	} {
		v, err := decodeJSON([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := encode(m.answer(v)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		want       []string
	}{
		{"same", `{"code":200,"body":{"a":[1]}}`, `{"code":200,"body":{"a":[1]}}`, nil},
		{"codes", `{"code":200}`, `{"code":404,"body":{"kind":"Status","message":"x \"y\" not found"}}`, []string{`code: N  ≠  404 x "" not found`}},
		{"missing", `{"body":{"a":{"b":1}}}`, `{"body":{"a":{}}}`, []string{"body.a.b: absent in Skiff"}},
		{"null", `{"body":{"a":null}}`, `{"body":{}}`, []string{"body.a: absent in Skiff"}},
		{"number", `{"body":{"a":1}}`, `{"body":{"a":1.0}}`, []string{"body.a: N  ≠  N"}},
		{"element", `{"body":{"a":["x","y"]}}`, `{"body":{"a":["y"]}}`, []string{"body.a[]: absent in Skiff"}},
		{
			"causes", `{"body":{"message":"m","details":{"causes":[{"field":"f","message":"bad: 7"}]}}}`, `{"body":{"message":"n","details":{"causes":[]}}}`,
			[]string{"body.details.causes[]: f: bad: N  ≠  ‹absent›"},
		},
	} {
		a, err := decodeJSON([]byte(c.a))
		if err != nil {
			t.Fatal(err)
		}
		b, err := decodeJSON([]byte(c.b))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range compare(a, b) {
			got = append(got, d.Cause)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSeeds holds that a seed says all about a scene.
func TestSeeds(t *testing.T) {
	s := &schema{Type: "object", Properties: map[string]*schema{"data": {Type: "object", Additional: &schema{Type: "string"}}}}
	s.all = &schemas{}
	k := &kind{version: "v1", name: "configmaps", gvk: "ConfigMap", namespaced: true, schema: s, seed: map[string]any{"data": map[string]any{"k": "v"}}}
	text := func(seed int) string {
		c := generate(k, seed)
		var out strings.Builder
		for i := range c.steps {
			out.WriteString(c.steps[i].String())
		}
		return out.String()
	}
	if text(3) != text(3) {
		t.Error("one seed made two scenes")
	}
	if text(3) == text(4) {
		t.Error("two seeds made the same scene")
	}
}
