package resource_test

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skiff-sh/skiff/resource"
)

// TestEnvelope: the envelope is what runtime.Unknown makes, byte by byte, and
// opens to what was put into it.
func TestEnvelope(t *testing.T) {
	for _, size := range []int{0, 1, 100, 127, 128, 5000, 70000} {
		for _, info := range resource.All() {
			obj := info.New()
			obj.SetName(string(bytes.Repeat([]byte("a"), size)))
			raw, err := resource.MarshalProtobuf(obj)
			if err != nil {
				continue // the kind has none
			}
			apiVersion, kind := info.Stored.ToAPIVersionAndKind()
			unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}, Raw: raw}
			want, err := unknown.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			want = append([]byte("k8s\x00"), want...)
			got, err := resource.EncodeProtobuf(info, obj)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: encoded as %q, %v, want %q", kind, got, err, want)
			}
			wrapped, err := resource.Envelope(info.Stored, raw)
			if err != nil || !bytes.Equal(wrapped, want) {
				t.Fatalf("%s: wrapped as %q, %v, want %q", kind, wrapped, err, want)
			}
			opened, err := resource.OpenEnvelope(got)
			if err != nil || !bytes.Equal(opened.Raw, raw) || opened.TypeMeta != unknown.TypeMeta {
				t.Fatalf("%s: opened as %v, %v", kind, opened, err)
			}
		}
	}
}

// TestOpenEnvelopeAsTheLibrary: what is cut off or odd gives what runtime.Unknown
// gives.
func TestOpenEnvelopeAsTheLibrary(t *testing.T) {
	whole, err := resource.EncodeProtobuf(resource.ConfigMaps.Info, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	documents := [][]byte{append(bytes.Clone(whole), 5<<3|2, 1, 'x'), append(bytes.Clone(whole), 5<<3, 1), append(bytes.Clone(whole), 1<<3, 1)}
	for n := 4; n <= len(whole); n++ {
		documents = append(documents, whole[:n])
	}
	for _, data := range documents {
		var want runtime.Unknown
		wantErr := want.Unmarshal(data[4:])
		got, err := resource.OpenEnvelope(data)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: error %v, want %v", data, err, wantErr)
		}
		if err == nil && (got.TypeMeta != want.TypeMeta || !bytes.Equal(got.Raw, want.Raw) || got.ContentType != want.ContentType) {
			t.Errorf("%q: opened as %v, want %v", data, got, want)
		}
	}
}
