package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestOpenAPI holds the documents of all that Skiff serves to upstream's: for
// every path and schema that both have, no word may differ.
func TestOpenAPI(t *testing.T) {
	p, err := startPair(t.Context(), "../../bench", false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	theirs, err := p.upstream.documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := p.skiff.documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if ofAddOn(name) {
			continue
		}
		if theirs[name] == nil {
			t.Errorf("%s: upstream has no such document", name)
			continue
		}
		for _, part := range []string{"paths", "components.schemas", "components.securitySchemes"} {
			sameEntries(t, name+" "+part, at(theirs[name], part), at(ours[name], part))
		}
	}
	var v2 [2]map[string]any
	if err := p.upstream.read(t.Context(), "/openapi/v2", &v2[0]); err != nil {
		t.Fatal(err)
	}
	if err := p.skiff.read(t.Context(), "/openapi/v2", &v2[1]); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"paths", "definitions", "parameters"} {
		sameEntries(t, "v2 "+part, v2[0][part], v2[1][part])
	}
}

// ofAddOn tells whether a document, path or schema is of what Skiff serves itself and
// upstream's clusters have from metrics-server.
func ofAddOn(name string) bool {
	return strings.Contains(name, "metrics.k8s.io") || strings.HasPrefix(name, "io.k8s.metrics.") || name == "io.k8s.apimachinery.pkg.apis.meta.v1.Duration"
}

// sameEntries compares the entries that ours has with theirs.
func sameEntries(t *testing.T, where string, theirs, ours any) {
	t.Helper()
	have, _ := ours.(map[string]any)
	want, _ := theirs.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if ofAddOn(key) {
			continue
		}
		walk("", want[key], have[key], func(path string, a, b any) {
			t.Errorf("%s %s%s: upstream %.200s, skiff %.200s", where, key, path, show(a), show(b))
		})
	}
}
