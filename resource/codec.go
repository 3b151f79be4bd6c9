package resource

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// protobufMagic opens every protobuf document of the Kubernetes API, in the
// store and on the wire; a runtime.Unknown with type and bytes follows.
var protobufMagic = []byte("k8s\x00")

// message is what the generated protobuf code of k8s.io/api offers.
type message interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
	Unmarshal([]byte) error
}

// EncodeProtobuf returns obj in the envelope of the Kubernetes API, as upstream
// stores it.
func EncodeProtobuf(info *Info, obj Object) ([]byte, error) {
	raw, err := MarshalProtobuf(obj)
	if err != nil {
		return nil, err
	}
	return Envelope(info.Stored, raw)
}

// MarshalProtobuf returns the bare protobuf bytes of obj.
func MarshalProtobuf(obj runtime.Object) ([]byte, error) {
	m, ok := obj.(message)
	if !ok {
		return nil, fmt.Errorf("encode %T: it has no protobuf form", obj)
	}
	raw := make([]byte, m.Size())
	n, err := m.MarshalToSizedBuffer(raw)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", obj, err)
	}
	return raw[len(raw)-n:], nil
}

// Envelope wraps bare protobuf bytes of a kind.
func Envelope(gvk schema.GroupVersionKind, raw []byte) ([]byte, error) {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	unknown := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}, Raw: raw}
	out := make([]byte, len(protobufMagic)+unknown.Size())
	copy(out, protobufMagic)
	if _, err := unknown.MarshalToSizedBuffer(out[len(protobufMagic):]); err != nil {
		return nil, fmt.Errorf("encode envelope of %s: %w", kind, err)
	}
	return out, nil
}

// OpenEnvelope returns the type and the bare bytes of a protobuf document.
func OpenEnvelope(data []byte) (*runtime.Unknown, error) {
	rest, ok := bytes.CutPrefix(data, protobufMagic)
	if !ok {
		return nil, fmt.Errorf("decode protobuf: the document does not start with %q", protobufMagic)
	}
	var unknown runtime.Unknown
	if err := unknown.Unmarshal(rest); err != nil {
		return nil, fmt.Errorf("decode protobuf envelope: %w", err)
	}
	return &unknown, nil
}

// DecodeStored returns the object that the store holds as data: protobuf, or
// JSON as upstream writes kinds that have no protobuf form.
func DecodeStored(info *Info, data []byte) (Object, error) {
	obj := info.New()
	if !bytes.HasPrefix(data, protobufMagic) {
		if err := json.Unmarshal(data, obj); err != nil {
			return nil, fmt.Errorf("decode stored %s: %w", info.GVK.Kind, err)
		}
		clearType(obj)
		return obj, nil
	}
	unknown, err := OpenEnvelope(data)
	if err != nil {
		return nil, err
	}
	m, ok := obj.(message)
	if !ok {
		return nil, fmt.Errorf("decode stored %s: it has no protobuf form", info.GVK.Kind)
	}
	if err := m.Unmarshal(unknown.Raw); err != nil {
		return nil, fmt.Errorf("decode stored %s: %w", info.GVK.Kind, err)
	}
	if info.Restore != nil {
		info.Restore(obj)
	}
	return obj, nil
}

// clearType empties kind and apiVersion: in memory the Go type says them, and
// they are written where an object leaves the process on its own.
func clearType(obj Object) { obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) }
