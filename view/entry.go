package view

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"unique"

	"github.com/skiff-sh/skiff/resource"
)

// Entry is one revision of one object, with its encoded forms. It is in the
// stored version but where In made it. The forms are
// made when they are first asked for and shared by every list and watch, until
// Forget.
type Entry struct {
	Info     *resource.Info
	Key      Key
	Object   resource.Object // kind and apiVersion empty, resourceVersion set
	Revision int64
	// Labels are the object's as PackLabels writes them: equal sets are one string.
	Labels string

	json  atomic.Pointer[[]byte]
	proto atomic.Pointer[[]byte]
	other atomic.Pointer[served]
	seal  seal // with -tags invariants: to notice that the object was changed
}

// PackLabels returns labels as one string, in which each label stands as
// PackLabel writes it. Equal sets give the same string in memory, so that
// comparing many objects touches little of it.
func PackLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	var out []byte
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, PackLabel(key, labels[key])...)
	}
	return unique.Make(string(out)).Value()
}

// PackLabel is one label within PackLabels. The bytes around it occur in no
// label.
func PackLabel(key, value string) string { return "\x00" + key + "\x01" + value + "\x02" }

// NewEntry takes obj over: it sets the resource version, and from then on the
// object must not change.
func NewEntry(info *resource.Info, obj resource.Object, revision int64) *Entry {
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	return ForeignEntry(info, obj, revision)
}

// ForeignEntry is NewEntry for an object of another server: the object keeps
// that server's resource version, since writers send it back.
func ForeignEntry(info *resource.Info, obj resource.Object, revision int64) *Entry {
	e := &Entry{Info: info, Key: KeyOf(obj), Object: obj, Revision: revision, Labels: PackLabels(obj.GetLabels())}
	e.seal = sealOf(e)
	return e
}

// served is an entry as another version than the stored one shows it.
type served struct {
	version *resource.ServedInfo
	entry   *Entry
}

// In returns the entry in a served version: itself in the stored one. Of the
// others the last one asked for is kept, since no kind has more than one, few
// are asked for, and those who watch it share its bytes.
func (e *Entry) In(v *resource.ServedInfo) *Entry {
	if v.Stored() {
		return e
	}
	if p := e.other.Load(); p != nil && p.version == v {
		return p.entry
	}
	entry := &Entry{Info: e.Info, Key: e.Key, Object: v.To(e.Object), Revision: e.Revision, Labels: e.Labels}
	e.other.Store(&served{v, entry})
	return entry
}

// JSON returns the object without kind and apiVersion, as it stands in a list.
func (e *Entry) JSON() []byte {
	if p := e.json.Load(); p != nil {
		return *p
	}
	data, err := json.Marshal(e.Object)
	if err != nil {
		// Every object in a view was decoded from bytes, so it can be encoded.
		panic(fmt.Sprintf("encode %s %s: %v", e.Info.GVK.Kind, e.Key, err))
	}
	e.json.Store(&data)
	return data
}

// Protobuf returns the bare protobuf bytes, without the envelope, as they stand
// in a list. It errs for kinds without a protobuf form.
func (e *Entry) Protobuf() ([]byte, error) {
	if p := e.proto.Load(); p != nil {
		return *p, nil
	}
	data, err := resource.MarshalProtobuf(e.Object)
	if err != nil {
		return nil, err
	}
	e.proto.Store(&data)
	return data, nil
}

// Forget drops the encoded forms, which are made anew when they are asked for.
func (e *Entry) Forget() {
	e.json.Store(nil)
	e.proto.Store(nil)
	e.other.Store(nil)
}
