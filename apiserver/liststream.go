package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/view"
)

// listBuffer is how much of a list is written at once: a few records of TLS.
const listBuffer = 64 << 10

// listStream writes a long answer through a small buffer, so that it is never
// in memory as a whole, however many clients ask for it.
type listStream struct {
	w        http.ResponseWriter
	media    string
	out      []byte
	begun    bool
	patience patience
	err      error // of a client that is gone
}

func newListStream(w http.ResponseWriter, media string) *listStream {
	return &listStream{w: w, media: media, patience: newPatience(w)}
}

// add takes some bytes of the answer. It returns false when nobody reads any
// more.
func (s *listStream) add(parts ...[]byte) bool {
	for _, p := range parts {
		if len(s.out) > 0 && len(s.out)+len(p) > listBuffer {
			s.flush()
		}
		s.out = append(s.out, p...)
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
}

// writeItems answers with a JSON document whose last field is the list of
// items, which are n documents. frame is the whole document with an empty list.
// YAML and indented JSON are made as a whole: programs do not ask for them.
func writeItems(w http.ResponseWriter, f format, frame []byte, n int, item func(i int) ([]byte, error)) error {
	const open = "]}"
	head := frame[:len(frame)-len(open)]
	if f.media == typeYAML || f.pretty {
		out := append([]byte(nil), head...)
		for i := range n {
			data, err := item(i)
			if err != nil {
				return err
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, data...)
		}
		return writeJSON(w, f, http.StatusOK, append(out, open...))
	}
	s := newListStream(w, typeJSON)
	s.add(head)
	comma := []byte(",")
	for i := range n {
		data, err := item(i)
		if err != nil {
			return err
		}
		if i > 0 {
			s.add(comma)
		}
		if !s.add(data) {
			return nil
		}
	}
	s.add([]byte(open + "\n"))
	s.end()
	return nil
}

// writeTableList streams the rows of a Table.
func (c *call) writeTableList(w http.ResponseWriter, f format, meta metav1.ListMeta, entries []*view.Entry) error {
	table := tableOf(c.version, nil, f, c.now, true)
	table.ListMeta = meta
	if len(entries) == 0 {
		return write(w, f, http.StatusOK, f.kind("Table"), table)
	}
	table.Rows = []metav1.TableRow{}
	frame, err := json.Marshal(table)
	if err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	return writeItems(w, f, frame, len(entries), func(i int) ([]byte, error) {
		return marshalItem(tableOf(c.version, entries[i:i+1], f, c.now, false).Rows[0])
	})
}

// writePartialList streams the metadata of entries.
func writePartialList(w http.ResponseWriter, f format, meta metav1.ListMeta, entries []*view.Entry) error {
	list := &metav1.PartialObjectMetadataList{ListMeta: meta}
	if len(entries) == 0 { // its items are null
		return write(w, f, http.StatusOK, f.kind(f.as), list)
	}
	list.Items = []metav1.PartialObjectMetadata{}
	frame, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode list: %w", err)
	}
	return writeItems(w, f, withType(f.kind(f.as), frame), len(entries), func(i int) ([]byte, error) {
		return marshalItem(partialOf(entries[i], f))
	})
}

func (c *call) writeJSONList(w http.ResponseWriter, f format, meta metav1.ListMeta, entries []*view.Entry) error {
	head, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("encode list metadata: %w", err)
	}
	apiVersion, kind := c.version.GVK.ToAPIVersionAndKind()
	frame := fmt.Appendf(nil, `{"kind":"%sList","apiVersion":"%s","metadata":%s,"items":[]}`, kind, apiVersion, head)
	return writeItems(w, f, frame, len(entries), func(i int) ([]byte, error) { return entries[i].In(c.version).JSON(), nil })
}

func marshalItem(item any) ([]byte, error) {
	data, err := json.Marshal(item)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", item, err)
	}
	return data, nil
}
