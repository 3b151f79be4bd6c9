package apply

import (
	"math/rand"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	kinds "github.com/skiff-sh/skiff/resource"
)

// TestPatchIsTheLibrarys: random merge patches of all kinds lead to the objects
// that the way over JSON leads to.
func TestPatchIsTheLibrarys(t *testing.T) {
	tracker := New(written())
	for _, info := range written() {
		quick := 0
		for seed := range int64(30) {
			h := history{random: rand.New(rand.NewSource(seed)), info: info}
			fill := filler(seed)
			live, other := info.New(), info.New()
			fill.Fill(live)
			fill.Fill(other)
			h.live = throughJSON(t, info, []byte(mustJSON(t, live)))
			patch := h.pruned(document(t, other), 2).(map[string]any)
			h.addNulls(patch)
			got, ok := tracker.Patch(info, h.live, patch)
			if !ok {
				continue
			}
			quick++
			merged, err := jsonpatch.MergePatch([]byte(mustJSON(t, h.live)), []byte(mustJSON(t, patch)))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := mustJSON(t, got), mustJSON(t, throughJSON(t, info, merged)); got != want {
				t.Fatalf("%s: patched\n%s\nby\n%s\ngot\n%s\nwant\n%s", info.GVK.Kind, mustJSON(t, h.live), mustJSON(t, patch), got, want)
			}
		}
		if quick < 5 {
			t.Errorf("%s: %d patches went the quick way", info.GVK.Kind, quick)
		}
	}
}

// throughJSON decodes as the API server does, and fails where it would.
func throughJSON(t *testing.T, info *kinds.Info, data []byte) kinds.Object {
	t.Helper()
	obj := info.New()
	if problems, err := kjson.UnmarshalStrict(data, obj); err != nil || len(problems) > 0 {
		t.Fatalf("%s: decode %s: %v %v", info.GVK.Kind, data, err, problems)
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return obj
}

// addNulls makes a patch remove some of what it names.
func (h *history) addNulls(patch map[string]any) {
	for name, v := range patch {
		if h.random.Intn(5) == 0 {
			patch[name] = nil
		} else if below, ok := v.(map[string]any); ok {
			h.addNulls(below)
		}
	}
}
