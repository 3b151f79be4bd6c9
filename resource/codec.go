package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
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
	m, ok := obj.(message)
	if !ok {
		return nil, noProtobuf(obj)
	}
	size := m.Size()
	out := envelopeHead(info.Stored, size)
	head := len(out)
	out = slices.Grow(out, size+len(EnvelopeTail))[:head+size] // written in place: objects are long
	n, err := m.MarshalToSizedBuffer(out[head:])
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", obj, err)
	}
	if n != size {
		return nil, fmt.Errorf("encode %T: it has %d bytes and not %d", obj, n, size)
	}
	return append(out, EnvelopeTail...), nil
}

// EnvelopeTail is the empty content encoding and type of a runtime.Unknown.
const EnvelopeTail = "\x1a\x00\x22\x00"

// envelopeHead is what stands in front of the size bytes of an object, with room
// for those: a runtime.Unknown up to its field 2.
func envelopeHead(gvk schema.GroupVersionKind, size int) []byte {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	types := protowire.SizeTag(1) + protowire.SizeBytes(len(apiVersion)) + protowire.SizeTag(2) + protowire.SizeBytes(len(kind))
	out := make([]byte, 0, len(protobufMagic)+types+size+32)
	out = append(out, protobufMagic...)
	out = protowire.AppendVarint(protowire.AppendTag(out, 1, protowire.BytesType), uint64(types))
	out = protowire.AppendString(protowire.AppendTag(out, 1, protowire.BytesType), apiVersion)
	out = protowire.AppendString(protowire.AppendTag(out, 2, protowire.BytesType), kind)
	return protowire.AppendVarint(protowire.AppendTag(out, 2, protowire.BytesType), uint64(size))
}

func noProtobuf(obj runtime.Object) error {
	return fmt.Errorf("encode %T: it has no protobuf form", obj)
}

// MarshalProtobuf returns the bare protobuf bytes of obj.
func MarshalProtobuf(obj runtime.Object) ([]byte, error) {
	m, ok := obj.(message)
	if !ok {
		return nil, noProtobuf(obj)
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
	return append(append(envelopeHead(gvk, len(raw)), raw...), EnvelopeTail...), nil
}

// OpenEnvelope returns the type and the bare bytes of a protobuf document, which
// are part of data.
func OpenEnvelope(data []byte) (*runtime.Unknown, error) {
	rest, ok := bytes.CutPrefix(data, protobufMagic)
	if !ok {
		return nil, fmt.Errorf("decode protobuf: the document does not start with %q", protobufMagic)
	}
	var unknown runtime.Unknown
	if openUnknown(rest, &unknown) {
		return &unknown, nil
	}
	unknown = runtime.Unknown{}
	if err := unknown.Unmarshal(rest); err != nil { // it copies, and has the words for what is wrong
		return nil, fmt.Errorf("decode protobuf envelope: %w", err)
	}
	return &unknown, nil
}

// openUnknown reads a runtime.Unknown that has its usual fields alone.
func openUnknown(data []byte, into *runtime.Unknown) bool {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 || kind != protowire.BytesType {
			return false
		}
		field, m := protowire.ConsumeBytes(data[n:])
		if m < 0 {
			return false
		}
		data = data[n+m:]
		switch number {
		case 1:
			if into.TypeMeta.Unmarshal(field) != nil {
				return false
			}
		case 2:
			into.Raw = field
		case 3:
			into.ContentEncoding = string(field)
		case 4:
			into.ContentType = string(field)
		default:
			return false
		}
	}
	return true
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
