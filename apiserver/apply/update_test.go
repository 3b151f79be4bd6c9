package apply

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	kinds "github.com/skiff-sh/skiff/resource"
)

// filler fills objects with what could come by JSON.
func filler(seed int64) *randfill.Filler {
	return randfill.NewWithSeed(seed).NilChance(0.6).NumElements(1, 3).MaxDepth(14).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewMilliQuantity(c.Int63n(5000), resource.DecimalSI)
		},
		func(t *metav1.Time, c randfill.Continue) { *t = metav1.Unix(c.Int63n(1000), 0) },
		func(t *metav1.MicroTime, c randfill.Continue) { *t = metav1.NewMicroTime(time.Unix(c.Int63n(1000), 0)) },
		func(f *[]metav1.ManagedFieldsEntry, _ randfill.Continue) { *f = nil },
		func(r *runtime.RawExtension, c randfill.Continue) { r.Raw = fmt.Appendf(nil, `{"a":%d}`, c.Intn(3)) },
		func(s *string, c randfill.Continue) { *s = fmt.Sprint(c.Intn(200)) },
		func(i *intstr.IntOrString, c randfill.Continue) {
			*i = intstr.FromInt32(c.Int31n(3))
			if c.Bool() {
				*i = intstr.FromString("a")
			}
		},
		func(i *int32, c randfill.Continue) { *i = c.Int31n(3) },
		func(i *int64, c randfill.Continue) { *i = c.Int63n(3) },
	)
}

// TestUpdateIsTheLibrarys: random objects of all kinds, written by random
// managers, get the managed fields that the library gives them.
func TestUpdateIsTheLibrarys(t *testing.T) {
	tracker := New(kinds.All())
	for _, info := range kinds.All() {
		quick := 0
		for seed := range int64(20) {
			quick += compareHistory(t, tracker, info, seed)
		}
		if quick == 0 {
			t.Errorf("%s: no write went the quick way", info.GVK.Kind)
		}
	}
}

// compareHistory writes an object some times and returns how often the quick way
// was taken.
func compareHistory(t *testing.T, tracker *Tracker, info *kinds.Info, seed int64) (quick int) {
	t.Helper()
	fill, random := filler(seed), rand.New(rand.NewSource(seed))
	live := info.New()
	now := time.Unix(1_700_000_000, 0)
	subresources := []string{"", "", "status"}
	for step := range 6 {
		obj := info.New()
		fill.Fill(obj)
		if step > 0 && random.Intn(2) == 0 { // a small change
			obj = live.DeepCopyObject().(kinds.Object)
			obj.SetLabels(map[string]string{"a": fmt.Sprint(random.Intn(3)), fmt.Sprint(random.Intn(3)): "b"})
		}
		obj.GetObjectKind().SetGroupVersionKind(live.GetObjectKind().GroupVersionKind())
		w := Write{Kind: info, Manager: string(rune('m' + random.Intn(3))), Now: now.Add(time.Duration(step) * time.Second)}
		if step > 0 {
			w.Subresource = subresources[random.Intn(len(subresources))]
		}
		want := obj.DeepCopyObject().(kinds.Object)
		tracker.library.update(w, live, want)
		if tracker.quickUpdate(w, live, obj) {
			quick++
			if !sameResult(obj.GetManagedFields(), want.GetManagedFields()) {
				t.Fatalf("%s, seed %d, step %d: managed fields are\n%s\nwant\n%s", info.GVK.Kind, seed, step, show(obj), show(want))
			}
		}
		want.SetUID("u")
		live = want
	}
	return quick
}

// What has owners, as most pods do, goes the quick way too.
func TestOwnedGoTheQuickWay(t *testing.T) {
	tracker := New(kinds.All())
	live := kinds.Pods.Info.New()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "b", UID: "c", Controller: new(true),
	}}}}
	want := pod.DeepCopy()
	w := Write{Kind: kinds.Pods.Info, Manager: "m", Now: time.Unix(1, 0)}
	tracker.library.update(w, live, want)
	if !tracker.quickUpdate(w, live, pod) || !sameResult(pod.GetManagedFields(), want.GetManagedFields()) {
		t.Errorf("managed fields are\n%s\nwant\n%s", show(pod), show(want))
	}
}

func sameResult(a, b []metav1.ManagedFieldsEntry) bool {
	return SameButForTimes(a, b) && len(a) == len(b)
}

func show(obj kinds.Object) (out string) {
	for _, e := range obj.GetManagedFields() {
		out += fmt.Sprintf("%s %s/%s %v %s\n", e.Manager, e.Operation, e.Subresource, e.Time, e.FieldsV1.GetRawString())
	}
	return out
}

func BenchmarkUpdate(b *testing.B) {
	tracker := New(kinds.All())
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"a": "b", "c": "d"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "a", Image: "b", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}}}
	kinds.Pods.Info.Default(pod)
	for info, obj := range map[*kinds.Info]kinds.Object{kinds.ConfigMaps.Info: configMap, kinds.Pods.Info: pod} {
		live := info.New()
		w := Write{Kind: info, Manager: "m", Now: time.Unix(1, 0)}
		b.Run(info.GVK.Kind+"/create", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				obj.SetManagedFields(nil)
				tracker.Update(w, live, obj)
			}
		})
		next := obj.DeepCopyObject().(kinds.Object)
		next.SetLabels(map[string]string{"new": "label"})
		given := obj.GetManagedFields()
		b.Run(info.GVK.Kind+"/change", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				next.SetManagedFields(given)
				tracker.Update(w, obj, next)
			}
		})
	}
}
