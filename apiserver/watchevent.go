package apiserver

import (
	"encoding/binary"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/skiff-sh/skiff/resource"
)

// eventHead is what stands in front of the bytes of every object of a watch.
type eventHead struct {
	json     []byte // kind and apiVersion, in an open JSON object
	protobuf []byte // the type field of a runtime.Unknown
}

func newEventHead(gvk schema.GroupVersionKind) eventHead {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	typeMeta := appendField(nil, 1, []byte(apiVersion))
	typeMeta = appendField(typeMeta, 2, []byte(kind))
	typed := withType(gvk, []byte("{}"))
	return eventHead{json: typed[:len(typed)-1], protobuf: appendField(nil, 1, typeMeta)}
}

// appendJSON appends an event about an object whose JSON lacks the type.
func (h eventHead) appendJSON(out []byte, kind watch.EventType, object []byte) []byte {
	out = append(out, `{"type":"`...)
	out = append(out, kind...)
	out = append(out, `","object":`...)
	out = append(out, h.json...)
	if len(object) > len("{}") {
		out = append(out, ',')
	}
	out = append(out, object[1:]...)
	return append(out, "}\n"...)
}

// appendProtobuf appends an event about an object in bare protobuf. The lengths
// of what encloses it are known, so nothing is made only to be copied.
func (h eventHead) appendProtobuf(out []byte, kind watch.EventType, object []byte) []byte {
	envelope := len("k8s\x00") + len(h.protobuf) + fieldSize(len(object)) + len(resource.EnvelopeTail)
	out = appendEventHead(out, kind, envelope)
	out = append(out, "k8s\x00"...)
	out = append(out, h.protobuf...)
	out = appendField(out, 2, object)
	return append(out, resource.EnvelopeTail...)
}

// appendEventHead appends the length of a metav1.WatchEvent and all of it that
// stands in front of its document: field 1 is the type, field 2 a RawExtension
// whose field 1 is the document.
func appendEventHead(out []byte, kind watch.EventType, document int) []byte {
	extension := fieldSize(document)
	out = binary.BigEndian.AppendUint32(out, uint32(fieldSize(len(kind))+fieldSize(extension)))
	out = appendField(out, 1, []byte(kind))
	out = binary.AppendUvarint(append(out, 2<<3|2), uint64(extension))
	return binary.AppendUvarint(append(out, 1<<3|2), uint64(document))
}

// appendProtobufEvent appends an event about a document in protobuf.
func appendProtobufEvent(out []byte, kind watch.EventType, document []byte) []byte {
	return append(appendEventHead(out, kind, len(document)), document...)
}

// appendJSONEvent appends an event about a document in JSON.
func appendJSONEvent(out []byte, kind watch.EventType, document []byte) []byte {
	out = append(out, `{"type":"`...)
	out = append(out, kind...)
	out = append(out, `","object":`...)
	out = append(out, document...)
	return append(out, "}\n"...)
}
