package apply

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kinds "github.com/skiff-sh/skiff/resource"
)

// TestApplyIsTheLibrarys: random documents of all kinds, applied by several
// managers, with updates in between, lead to the objects and managed fields that
// the library makes.
func TestApplyIsTheLibrarys(t *testing.T) {
	tracker := New(written())
	for _, info := range written() {
		quick := 0
		for seed := range int64(24) {
			h := history{tracker: tracker, info: info, random: rand.New(rand.NewSource(seed)), live: info.New()}
			fill := filler(seed)
			for step := range 8 {
				obj := info.New()
				fill.Fill(obj)
				obj.SetName("a")
				h.step(t, step, obj)
			}
			quick += h.quick
		}
		if quick < 5 {
			t.Errorf("%s: %d writes went the quick way", info.GVK.Kind, quick)
		}
	}
}

// written are the kinds that anything is written of.
func written() []*kinds.Info {
	return slices.DeleteFunc(kinds.All(), func(info *kinds.Info) bool { return info.Computed })
}

// history is an object that is written again and again.
type history struct {
	tracker  *Tracker
	info     *kinds.Info
	random   *rand.Rand
	live     kinds.Object
	document map[string]any // applied last
	quick    int            // how often the quick way was taken
}

func (h *history) step(t *testing.T, step int, obj kinds.Object) {
	t.Helper()
	w := Write{Kind: h.info, Manager: string(rune('a' + h.random.Intn(2))), Now: time.Unix(int64(1_700_000_000+step), 0)}
	if h.random.Intn(6) == 0 {
		w.Subresource = "status"
	}
	if step > 0 && h.random.Intn(4) == 0 {
		h.update(w, obj)
		return
	}
	if h.document == nil || h.random.Intn(3) == 0 {
		h.document = h.pruned(document(t, obj), 3).(map[string]any)
	} else if h.random.Intn(3) > 0 {
		h.edit(h.document)
	}
	patch := &unstructured.Unstructured{Object: h.document}
	patch = patch.DeepCopy()
	patch.SetGroupVersionKind(h.info.GVK)
	patch.SetName("a")
	force := h.random.Intn(2) == 0
	before := mustJSON(t, h.live) + mustJSON(t, patch)
	got, ok := h.tracker.quickApply(w, h.live, patch)
	if mustJSON(t, h.live)+mustJSON(t, patch) != before {
		t.Fatalf("%s: the quick way has changed what it was given", h.info.GVK.Kind)
	}
	shown := mustJSON(t, patch)
	want, err := h.tracker.library.apply(w, h.live, patch, force)
	if ok {
		h.quick++
		if err != nil {
			t.Fatalf("%s, step %d: want %v after\n%s", h.info.GVK.Kind, step, err, shown)
		}
		if g, w := mustJSON(t, got), mustJSON(t, want); g != w {
			t.Fatalf("%s, step %d: applied %s to\n%s\ngot\n%s\nwant\n%s", h.info.GVK.Kind, step, shown, mustJSON(t, h.live), g, w)
		}
	}
	if err == nil {
		want.SetUID("u")
		h.live = want
	}
}

// update has somebody write who does not apply.
func (h *history) update(w Write, obj kinds.Object) {
	next := h.live.DeepCopyObject().(kinds.Object)
	next.SetLabels(obj.GetLabels())
	h.tracker.library.update(w, h.live, next)
	h.live = next
}

// pruned drops parts of a document, fewer deep below.
func (h *history) pruned(v any, odds int) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) { // a seed is to mean one history
			item := v[name]
			if h.random.Intn(odds) == 0 && name != "name" {
				delete(v, name)
			} else {
				v[name] = h.pruned(item, odds+2)
			}
		}
	case []any:
		for i := range v {
			v[i] = h.pruned(v[i], odds+2)
		}
	}
	return v
}

// edit changes some of a document's texts and turns some of its lists around.
func (h *history) edit(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			item := v[name]
			if _, text := item.(string); text && name != "name" && h.random.Intn(3) == 0 {
				v[name] = fmt.Sprint(h.random.Intn(200))
			} else {
				h.edit(item)
			}
		}
	case []any:
		for i := range v {
			h.edit(v[i])
		}
		if h.random.Intn(4) == 0 {
			h.random.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
		}
	}
}

// document returns an object as a client would write it: without its kind, and
// without what is null.
func document(t *testing.T, obj kinds.Object) map[string]any {
	t.Helper()
	u := &unstructured.Unstructured{}
	obj.SetManagedFields(nil)
	data := fmt.Sprintf(`{"apiVersion":"v1","kind":"A",%s`, mustJSON(t, obj)[1:])
	if err := u.UnmarshalJSON([]byte(data)); err != nil {
		t.Fatal(err)
	}
	delete(u.Object, "kind")
	delete(u.Object, "apiVersion")
	dropNulls(u.Object)
	return u.Object
}

func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			if item == nil {
				delete(v, name)
			} else {
				dropNulls(item)
			}
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func BenchmarkApply(b *testing.B) {
	tracker := New(kinds.All())
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u"}, Data: map[string]string{"a": "b", "c": "d"}}
	w := Write{Kind: kinds.ConfigMaps.Info, Manager: "m", Now: time.Unix(1, 0)}
	var document map[string]any
	if err := json.Unmarshal([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"new","c":"d"}}`), &document); err != nil {
		b.Fatal(err)
	}
	patch := func() *unstructured.Unstructured { return (&unstructured.Unstructured{Object: document}).DeepCopy() }
	live, err := tracker.Apply(w, configMap, patch(), true)
	if err != nil {
		b.Fatal(err)
	}
	live.(*corev1.ConfigMap).Data["a"] = "old"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tracker.Apply(w, live, patch(), true); err != nil {
			b.Fatal(err)
		}
	}
}
