package apiserver

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"net/http"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// protobufItem is how an entry stands in a list in protobuf: its size, and its
// bytes, which are as many.
type protobufItem interface {
	size(e *view.Entry) (int, error)
	append(out []byte, e *view.Entry) ([]byte, error)
}

// wholeItem is the object itself, in a version.
type wholeItem struct{ version *resource.ServedInfo }

func (i wholeItem) size(e *view.Entry) (int, error) {
	raw, err := e.In(i.version).Protobuf()
	return len(raw), err
}

func (i wholeItem) append(out []byte, e *view.Entry) ([]byte, error) {
	raw, err := e.In(i.version).Protobuf()
	return append(out, raw...), err
}

// partialItem is the object's metadata alone: field 1 of a PartialObjectMetadata.
type partialItem struct{}

func (partialItem) size(e *view.Entry) (int, error) { return fieldSize(metaOf(e.Object).Size()), nil }

func (partialItem) append(out []byte, e *view.Entry) ([]byte, error) {
	meta := metaOf(e.Object)
	size := meta.Size()
	out = binary.AppendUvarint(append(out, 1<<3|2), uint64(size))
	head := len(out)
	out = slices.Grow(out, size)[:head+size]
	_, err := meta.MarshalToSizedBuffer(out[head:])
	return out, err
}

// writeProtobufList writes the two fields that every list of the API has:
// 1 is metadata, 2 the items. The list is never in memory as a whole: its
// length is known from that of the entries, which go through a small buffer.
func writeProtobufList(w http.ResponseWriter, gvk schema.GroupVersionKind, meta metav1.ListMeta, entries iter.Seq[*view.Entry], item protobufItem) error {
	metaRaw, err := meta.Marshal()
	if err != nil {
		return fmt.Errorf("encode list metadata: %w", err)
	}
	size := fieldSize(len(metaRaw))
	for e := range entries {
		n, err := item.size(e)
		if err != nil {
			return notAcceptable(mediaTypes...)
		}
		size += fieldSize(n)
	}
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	typeMeta := runtime.TypeMeta{APIVersion: apiVersion, Kind: kind}
	typeRaw, err := typeMeta.Marshal()
	if err != nil {
		return fmt.Errorf("encode list: %w", err)
	}
	// runtime.Unknown: 1 type, 2 the list, 3 and 4 content encoding and type, both empty.
	head := appendField([]byte("k8s\x00"), 1, typeRaw)
	head = binary.AppendUvarint(append(head, 2<<3|2), uint64(size))
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+size+len(resource.EnvelopeTail)))
	s := newListStream(w, typeProtobuf)
	s.out = appendField(append(s.out, head...), 1, metaRaw)
	for e := range entries {
		n, err := item.size(e)
		if err != nil || !s.room(fieldSize(n)) {
			return err
		}
		if s.out, err = item.append(binary.AppendUvarint(append(s.out, 2<<3|2), uint64(n)), e); err != nil {
			return err
		}
	}
	s.out = append(s.out, resource.EnvelopeTail...)
	s.end()
	return nil
}

// fieldSize is the size of a length-delimited protobuf field.
func fieldSize(n int) int { return 1 + (bits.Len32(uint32(n)|1)+6)/7 + n }

// appendField writes a length-delimited protobuf field.
func appendField(out []byte, number byte, data []byte) []byte {
	out = append(out, number<<3|2)
	out = binary.AppendUvarint(out, uint64(len(data)))
	return append(out, data...)
}
