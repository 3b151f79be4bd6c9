package apiserver

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/skiff-sh/skiff/resource"
)

// TestWatchEvents holds the bytes of events to those of the library, for
// objects whose lengths need one, two and three bytes.
func TestWatchEvents(t *testing.T) {
	gvk := resource.ConfigMaps.Info.GVK
	for _, size := range []int{0, 1, 100, 127, 128, 16383, 16384, 1 << 20} {
		obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": strings.Repeat("x", size)}}
		raw, err := resource.MarshalProtobuf(obj)
		if err != nil {
			t.Fatal(err)
		}
		document, err := resource.Envelope(gvk, raw)
		if err != nil {
			t.Fatal(err)
		}
		event, err := (&metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Raw: document}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		want := append(binary.BigEndian.AppendUint32(nil, uint32(len(event))), event...)
		if got := newEventHead(gvk).appendProtobuf(nil, watch.Added, raw); !bytes.Equal(got, want) {
			t.Errorf("size %d: the protobuf event differs from the library's", size)
		}
		if got := appendProtobufEvent(nil, watch.Added, document); !bytes.Equal(got, want) {
			t.Errorf("size %d: the protobuf event of a document differs from the library's", size)
		}
		plain, err := json.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		want = appendJSONEvent(nil, watch.Added, withType(gvk, plain))
		if got := newEventHead(gvk).appendJSON(nil, watch.Added, plain); !bytes.Equal(got, want) || !json.Valid(got) {
			t.Errorf("size %d: the JSON event is %.200s, want %.200s", size, got, want)
		}
	}
	if got := newEventHead(gvk).appendJSON(nil, watch.Bookmark, []byte("{}")); !json.Valid(got) {
		t.Errorf("an event about an empty object is %s", got)
	}
}

func BenchmarkWatchEvent(b *testing.B) {
	raw := bytes.Repeat([]byte("x"), 1<<10)
	head, out := newEventHead(resource.ConfigMaps.Info.GVK), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		out = head.appendProtobuf(out[:0], watch.Modified, raw)
	}
}
