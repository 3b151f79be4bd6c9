package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// listBuffer is how much of a list is written at once: a few records of TLS.
const listBuffer = 64 << 10

// listBuffers are those of lists that have ended.
var listBuffers = sync.Pool{New: func() any { return new([]byte) }}

// listStream writes a long answer through a small buffer, so that it is never
// in memory as a whole, however many clients ask for it.
type listStream struct {
	w        http.ResponseWriter
	media    string
	buffer   *[]byte
	out      []byte // what is to be written next
	begun    bool
	patience patience
	err      error // of a client that is gone
}

func newListStream(w http.ResponseWriter, media string) *listStream {
	buffer := listBuffers.Get().(*[]byte)
	return &listStream{w: w, media: media, buffer: buffer, out: (*buffer)[:0], patience: newPatience(w)}
}

// room writes what there is if it is much together with the next bytes, which
// are so many. It returns false when nobody reads any more.
func (s *listStream) room(next int) bool {
	if len(s.out) > 0 && len(s.out)+next > listBuffer {
		s.flush()
	}
	return s.err == nil
}

func (s *listStream) flush() {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", s.media)
		s.w.WriteHeader(http.StatusOK)
	}
	if s.err == nil {
		s.patience.renew()
		_, s.err = s.w.Write(s.out)
	}
	s.out = s.out[:0]
}

// end writes the rest.
func (s *listStream) end() {
	s.flush()
	s.patience.end()
	if cap(s.out) <= 4*listBuffer { // not that of an uncommonly large item
		*s.buffer = s.out
	}
	listBuffers.Put(s.buffer)
}

// appender appends the form of an entry.
type appender func(out []byte, e *view.Entry) ([]byte, error)

// itemsEnd is how the JSON of a list ends whose last field is that of its items.
const itemsEnd = "]}"

// writeItems answers with a JSON document whose last field is the list of
// items. frame is the whole document with an empty list. YAML is made as a
// whole: programs do not ask for it.
func writeItems(w http.ResponseWriter, f format, frame []byte, entries iter.Seq[*view.Entry], item appender) error {
	open, between, end := "", ",", itemsEnd
	switch {
	case f.media == typeYAML:
		out := bytes.Clone(frame[:len(frame)-len(end)])
		for e := range entries {
			var err error
			if out, err = item(append(out, open...), e); err != nil {
				return err
			}
			open = between
		}
		return writeJSON(w, f, http.StatusOK, append(out, end...))
	case f.pretty:
		var err error
		if frame, err = indent(frame); err != nil {
			return err
		}
		open, between, end = "\n    ", ",\n    ", "]\n}"
		item = indented(item)
	}
	s := newListStream(w, typeJSON)
	s.out = append(s.out, frame[:len(frame)-len(end)]...)
	none := open
	for e := range entries {
		var err error
		if s.out, err = item(append(s.out, open...), e); err != nil {
			return err
		}
		if open = between; !s.room(0) {
			return nil
		}
	}
	if f.pretty && open != none {
		s.out = append(s.out, "\n  "...)
	}
	s.out = append(append(s.out, end...), '\n')
	s.end()
	return nil
}

// writeNull answers with null where a list would be, as upstream does for some
// that are empty. frame is as in writeItems.
func writeNull(w http.ResponseWriter, f format, frame []byte) error {
	return writeJSON(w, f, http.StatusOK, append(frame[:len(frame)-len("[]}")], "null}"...))
}

func isEmpty(entries iter.Seq[*view.Entry]) bool {
	for range entries {
		return false
	}
	return true
}

// indented appends items as they stand in an indented list.
func indented(item appender) appender {
	var plain []byte
	var lines bytes.Buffer
	return func(out []byte, e *view.Entry) (_ []byte, err error) {
		if plain, err = item(plain[:0], e); err != nil {
			return nil, err
		}
		lines.Reset()
		if err := json.Indent(&lines, plain, "    ", "  "); err != nil {
			return nil, fmt.Errorf("indent JSON: %w", err)
		}
		return append(out, lines.Bytes()...), nil
	}
}

// writeTableList streams the rows of a Table.
func (c *call) writeTableList(w http.ResponseWriter, f format, meta metav1.ListMeta, entries iter.Seq[*view.Entry]) error {
	table := newTableMaker(c.version, f, c.now)
	frame, err := table.frame(meta, true)
	if err != nil {
		return err
	}
	if len(c.version.Info.Columns) == 0 && isEmpty(entries) {
		return writeNull(w, f, frame)
	}
	return writeItems(w, f, frame, entries, table.appendRow)
}

// writePartialList streams the metadata of entries.
func writePartialList(w http.ResponseWriter, f format, meta metav1.ListMeta, entries iter.Seq[*view.Entry]) error {
	list := &metav1.PartialObjectMetadataList{ListMeta: meta, Items: []metav1.PartialObjectMetadata{}}
	frame, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode list: %w", err)
	}
	if isEmpty(entries) {
		return writeNull(w, f, withType(f.kind(f.as), frame))
	}
	head := partialHead(f)
	return writeItems(w, f, withType(f.kind(f.as), frame), entries, func(out []byte, e *view.Entry) ([]byte, error) {
		return append(resource.AppendMeta(append(out, head...), metaOf(e.Object)), '}'), nil
	})
}

// partialHead is what stands in front of the metadata in the JSON of an object's
// metadata alone.
func partialHead(f format) []byte {
	typed := withType(f.kind("PartialObjectMetadata"), []byte("{}"))
	return append(typed[:len(typed)-1], `,"metadata":`...)
}

func (c *call) writeJSONList(w http.ResponseWriter, f format, meta metav1.ListMeta, entries iter.Seq[*view.Entry]) error {
	head, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("encode list metadata: %w", err)
	}
	apiVersion, kind := c.version.GVK.ToAPIVersionAndKind()
	frame := fmt.Appendf(nil, `{"kind":"%sList","apiVersion":"%s","metadata":%s,"items":[]}`, kind, apiVersion, head)
	return writeItems(w, f, frame, entries, func(out []byte, e *view.Entry) ([]byte, error) {
		return append(out, e.In(c.version).JSON()...), nil
	})
}
