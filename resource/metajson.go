package resource

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AppendMeta appends metadata in JSON, byte for byte as encoding/json writes it.
// Tables hold the metadata of every row: through the library each leaves a
// kilobyte of garbage behind, and with many rows for many clients the heap grows
// to twice its size.
func AppendMeta(out []byte, m *metav1.ObjectMeta) []byte {
	f := fields{out: append(out, '{')}
	f.text("name", m.Name)
	f.text("generateName", m.GenerateName)
	f.text("namespace", m.Namespace)
	f.text("selfLink", m.SelfLink)
	f.text("uid", string(m.UID))
	f.text("resourceVersion", m.ResourceVersion)
	if m.Generation != 0 {
		f.integer("generation", m.Generation)
	}
	if !m.CreationTimestamp.IsZero() {
		f.time("creationTimestamp", &m.CreationTimestamp)
	}
	f.time("deletionTimestamp", m.DeletionTimestamp)
	if m.DeletionGracePeriodSeconds != nil {
		f.integer("deletionGracePeriodSeconds", *m.DeletionGracePeriodSeconds)
	}
	f.texts("labels", m.Labels)
	f.texts("annotations", m.Annotations)
	list(&f, "ownerReferences", m.OwnerReferences, (*fields).owner)
	list(&f, "finalizers", m.Finalizers, func(f *fields, text *string) { f.out = AppendString(f.out, *text) })
	list(&f, "managedFields", m.ManagedFields, (*fields).manager)
	return append(f.out, '}')
}

// AppendString appends a string in JSON, byte for byte as encoding/json writes it.
func AppendString(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			data, err := json.Marshal(text)
			if err != nil {
				panic(fmt.Sprintf("encode a string: %v", err)) // every string has a form
			}
			return append(out, data...)
		}
	}
	return append(append(append(out, '"'), text...), '"')
}

// fields appends the fields of an object; those that are empty are left out.
type fields struct{ out []byte }

func (f *fields) key(name string) {
	if f.out[len(f.out)-1] != '{' {
		f.out = append(f.out, ',')
	}
	f.out = append(append(append(f.out, '"'), name...), `":`...)
}

func (f *fields) text(name, value string) {
	if value != "" {
		f.always(name, value)
	}
}

func (f *fields) always(name, value string) {
	f.key(name)
	f.out = AppendString(f.out, value)
}

func (f *fields) integer(name string, value int64) {
	f.key(name)
	f.out = strconv.AppendInt(f.out, value, 10)
}

func (f *fields) boolean(name string, value *bool) {
	if value != nil {
		f.key(name)
		f.out = strconv.AppendBool(f.out, *value)
	}
}

func (f *fields) time(name string, value *metav1.Time) {
	if value == nil {
		return
	}
	f.key(name)
	if value.IsZero() {
		f.out = append(f.out, "null"...)
		return
	}
	f.out = append(value.UTC().AppendFormat(append(f.out, '"'), time.RFC3339), '"')
}

func (f *fields) texts(name string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	f.key(name)
	f.out = append(f.out, '{')
	var few [16]string // most objects have no more, and these take no memory
	keys := slices.AppendSeq(few[:0], maps.Keys(values))
	slices.Sort(keys)
	for i, key := range keys {
		if i > 0 {
			f.out = append(f.out, ',')
		}
		f.out = append(AppendString(f.out, key), ':')
		f.out = AppendString(f.out, values[key])
	}
	f.out = append(f.out, '}')
}

func list[T any](f *fields, name string, items []T, item func(*fields, *T)) {
	if len(items) == 0 {
		return
	}
	f.key(name)
	f.out = append(f.out, '[')
	for i := range items {
		if i > 0 {
			f.out = append(f.out, ',')
		}
		item(f, &items[i])
	}
	f.out = append(f.out, ']')
}

func (f *fields) owner(o *metav1.OwnerReference) {
	f.out = append(f.out, '{')
	f.always("apiVersion", o.APIVersion)
	f.always("kind", o.Kind)
	f.always("name", o.Name)
	f.always("uid", string(o.UID))
	f.boolean("controller", o.Controller)
	f.boolean("blockOwnerDeletion", o.BlockOwnerDeletion)
	f.out = append(f.out, '}')
}

func (f *fields) manager(e *metav1.ManagedFieldsEntry) {
	f.out = append(f.out, '{')
	f.text("manager", e.Manager)
	f.text("operation", string(e.Operation))
	f.text("apiVersion", e.APIVersion)
	f.time("time", e.Time)
	f.text("fieldsType", e.FieldsType)
	if e.FieldsV1 != nil {
		f.key("fieldsV1")
		f.raw(e.FieldsV1.GetRawBytes())
	}
	f.text("subresource", e.Subresource)
	f.out = append(f.out, '}')
}

// raw appends JSON as it is where that is how the library would write it.
func (f *fields) raw(data []byte) {
	if data == nil {
		f.out = append(f.out, "null"...)
		return
	}
	for _, c := range data {
		if c <= ' ' || c > '~' || c == '<' || c == '>' || c == '&' {
			if encoded, err := json.Marshal(json.RawMessage(data)); err == nil {
				data = encoded
			}
			break
		}
	}
	f.out = append(f.out, data...)
}
