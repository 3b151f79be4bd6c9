package apiserver

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	selectionop "k8s.io/apimachinery/pkg/selection"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// selection is which objects of a kind a list or watch is about.
type selection struct {
	info      *resource.Info
	version   *resource.ServedInfo
	namespace string
	name      string // a single object by metadata.name, or ""
	labels    labels.Selector
	equal     []string // packed, instead of labels, where all of them ask for one value
	fields    []fields.Requirement
}

// equalPairs returns what a selector asks for when that is just some labels
// with one value each, as most do.
func equalPairs(s labels.Selector) []string {
	requirements, selectable := s.Requirements()
	var out []string
	for _, r := range requirements {
		values := r.ValuesUnsorted()
		op := r.Operator()
		if !selectable || len(values) != 1 || (op != selectionop.Equals && op != selectionop.DoubleEquals && op != selectionop.In) {
			return nil
		}
		out = append(out, view.PackLabel(r.Key(), values[0]))
	}
	return out
}

// selectionOf reads the selectors of a request.
func (c *call) selectionOf(q url.Values) (selection, error) {
	s := selection{info: c.info, version: c.version, labels: labels.Everything()}
	if c.info.Namespaced {
		s.namespace = c.target.namespace
	}
	s.name = c.target.name
	var err error
	if text := q.Get("labelSelector"); text != "" {
		if s.labels, err = labels.Parse(text); err != nil {
			return s, apierrors.NewBadRequest(err.Error())
		}
		s.equal = equalPairs(s.labels)
	}
	if text := q.Get("fieldSelector"); text != "" {
		parsed, err := fields.ParseSelector(text)
		if err != nil {
			return s, apierrors.NewBadRequest(err.Error())
		}
		for _, requirement := range parsed.Requirements() {
			if c.version.Fields[requirement.Field] == nil {
				return s, c.unknownField(requirement.Field)
			}
			s.fields = append(s.fields, requirement)
		}
	}
	return s, nil
}

// unknownField refuses a field that cannot be selected by. Kinds with no fields
// of their own are worded otherwise.
func (c *call) unknownField(name string) error {
	if len(c.version.Fields) > 2 {
		return apierrors.NewBadRequest("field label not supported: " + name)
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only %q, %q", name, "metadata.name", "metadata.namespace"))
}

// matches tells whether an entry is selected.
func (s *selection) matches(e *view.Entry) bool {
	if (s.namespace != "" && e.Key.Namespace != s.namespace) || (s.name != "" && e.Key.Name != s.name) {
		return false
	}
	if s.equal != nil {
		for _, label := range s.equal {
			if !strings.Contains(e.Labels, label) {
				return false
			}
		}
	} else if !s.labels.Empty() && !s.labels.Matches(labels.Set(e.Object.GetLabels())) {
		return false
	}
	for _, f := range s.fields {
		equal := s.version.Fields[f.Field](e.Object) == f.Value
		if equal == (f.Operator == "!=") {
			return false
		}
	}
	return true
}

// entries yields the selected entries of a view from a key on, through an index
// where a field selector allows it.
func (s *selection) entries(v *view.View, from view.Key, yield func(*view.Entry) bool) {
	if f := s.index(); f != nil && from == (view.Key{}) {
		for e := range v.Indexed(s.info, f.Field, f.Value) {
			if s.matches(e) && !yield(e) {
				return
			}
		}
		return
	}
	for e := range v.Entries(s.info, s.namespace, from) {
		if s.matches(e) && !yield(e) {
			return
		}
	}
}

// index is the field requirement whose value an index holds, or nil.
func (s *selection) index() *fields.Requirement {
	for i, f := range s.fields {
		if s.info.Indexes[f.Field] != nil && f.Operator != "!=" && f.Value != "" {
			return &s.fields[i]
		}
	}
	return nil
}

// bucket is the narrowest one that holds all that is selected.
func (s *selection) bucket() watchcache.Bucket {
	name := s.name
	for _, f := range s.fields {
		if f.Field == "metadata.name" && f.Operator != "!=" {
			name = f.Value
		}
	}
	if name != "" && (s.namespace != "" || !s.info.Namespaced) {
		return watchcache.Bucket{Namespace: s.namespace, Name: name}
	}
	if f := s.index(); f != nil {
		return watchcache.Bucket{Index: f.Field, Value: f.Value}
	}
	return watchcache.Bucket{Namespace: s.namespace}
}

// continueToken is where the next page starts: in which revision, and at which
// key.
type continueToken struct {
	Version  string `json:"v"`
	Revision int64  `json:"rv"`
	Start    string `json:"start"`
}

const continueVersion = "meta.k8s.io/v1"

func (t continueToken) encode() string {
	data, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("encode continue token: %v", err)) // three plain fields
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodeContinue(text string) (continueToken, error) {
	var t continueToken
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil || t.Version != continueVersion || t.Start == "" {
		return t, apierrors.NewBadRequest("continue key is not valid: take it unchanged from the answer before")
	}
	return t, nil
}

// maxSnapshots bounds the views that are kept for pages to come. A view costs
// only what changed since.
const maxSnapshots = 64

// snapshots keeps views that a continue token points into.
type snapshots struct {
	mu    sync.Mutex
	views []*view.View
}

func (s *snapshots) keep(v *view.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.views {
		if have.Revision() == v.Revision() {
			return
		}
	}
	if len(s.views) >= maxSnapshots {
		s.views = append([]*view.View(nil), s.views[1:]...)
	}
	s.views = append(s.views, v)
}

func (s *snapshots) at(revision int64) *view.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.views {
		if v.Revision() == revision {
			return v
		}
	}
	return nil
}

// checkListOptions refuses parameters that do not go together.
func checkListOptions(q url.Values, watching bool) error {
	options := internalversion.ListOptions{
		Watch: watching, ResourceVersion: q.Get("resourceVersion"), Continue: q.Get("continue"),
		ResourceVersionMatch: metav1.ResourceVersionMatch(q.Get("resourceVersionMatch")),
	}
	if q.Has("sendInitialEvents") {
		send := truthy(q.Get("sendInitialEvents"))
		options.SendInitialEvents = &send
	}
	if errs := validation.ValidateListOptions(&options, true); len(errs) > 0 {
		return apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", errs)
	}
	return nil
}

// listPage is the answer to a list, before it is encoded.
type listPage struct {
	entries   []*view.Entry
	revision  int64
	next      string // continue token or ""
	remaining *int64
}

// page reads the wanted page from the view.
func (s *Server) page(c *call, q url.Values) (listPage, error) {
	if err := checkListOptions(q, false); err != nil {
		return listPage{}, err
	}
	sel, err := c.selectionOf(q)
	if err != nil {
		return listPage{}, err
	}
	limit := 0
	if text := q.Get("limit"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return listPage{}, apierrors.NewBadRequest(err.Error())
		}
		limit = int(max(n, 0)) // upstream takes a negative one for none
	}
	v, from, err := s.listView(c, q)
	if err != nil {
		return listPage{}, err
	}
	page := listPage{revision: v.Revision()}
	all := sel.labels.Empty() && len(sel.fields) == 0
	if all && sel.name == "" { // a list that grew would leave several times its size behind
		n := v.Count(sel.info, sel.namespace, from)
		if limit > 0 {
			n = min(n, limit)
		}
		page.entries = make([]*view.Entry, 0, n)
	}
	more := int64(0)
	var nextKey view.Key
	sel.entries(v, from, func(e *view.Entry) bool {
		if limit == 0 || len(page.entries) < limit {
			page.entries = append(page.entries, e)
			return true
		}
		nextKey, more = e.Key, 1
		return false
	})
	if more > 0 && all { // upstream counts the rest only without selectors
		more = int64(v.Count(sel.info, sel.namespace, nextKey))
	}
	if more > 0 {
		s.snapshots.keep(v)
		page.next = continueToken{continueVersion, v.Revision(), nextKey.Namespace + "\x00" + nextKey.Name}.encode()
		if all {
			page.remaining = &more
		}
	}
	return page, nil
}

// listView returns the view that a list reads, and the key it starts at.
func (s *Server) listView(c *call, q url.Values) (*view.View, view.Key, error) {
	text := q.Get("continue")
	if text == "" {
		v, err := s.exactView(c, q)
		return v, view.Key{}, err
	}
	token, err := decodeContinue(text)
	if err != nil {
		return nil, view.Key{}, err
	}
	v := s.snapshots.at(token.Revision)
	if v == nil {
		return nil, view.Key{}, apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.")
	}
	for i := range len(token.Start) {
		if token.Start[i] == 0 {
			return v, view.Key{Namespace: token.Start[:i], Name: token.Start[i+1:]}, nil
		}
	}
	return nil, view.Key{}, apierrors.NewBadRequest("continue key is not valid: take it unchanged from the answer before")
}

// exactView honours resourceVersion and resourceVersionMatch.
func (s *Server) exactView(c *call, q url.Values) (*view.View, error) {
	version, match := q.Get("resourceVersion"), q.Get("resourceVersionMatch")
	if match != string(metav1.ResourceVersionMatchExact) {
		return s.viewAt(c, version)
	}
	revision, err := parseVersion(version)
	if err != nil {
		return nil, err
	}
	v, err := s.viewAt(c, version)
	if err != nil {
		return nil, err
	}
	if v.Revision() == revision {
		return v, nil
	}
	if v = s.snapshots.at(revision); v == nil {
		return nil, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	return v, nil
}

// serveList answers with a list, written from the entries' own bytes.
func (s *Server) serveList(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	page, err := s.page(c, r.URL.Query())
	if err != nil {
		return err
	}
	meta := metav1.ListMeta{
		ResourceVersion: strconv.FormatInt(page.revision, 10), Continue: page.next, RemainingItemCount: page.remaining,
	}
	return c.writeList(w, r, f, meta, page.entries)
}

// writeList answers with entries in the form that the client asked for.
func (c *call) writeList(w http.ResponseWriter, r *http.Request, f format, meta metav1.ListMeta, entries []*view.Entry) error {
	c.writeWarnings(w)
	switch {
	case f.as == "Table":
		return c.writeTableList(w, f, meta, entries)
	case f.as == "PartialObjectMetadataList":
		if f.media != typeProtobuf {
			return writePartialList(w, f, meta, entries)
		}
		list := &metav1.PartialObjectMetadataList{ListMeta: meta, Items: make([]metav1.PartialObjectMetadata, 0, len(entries))}
		for _, e := range entries {
			list.Items = append(list.Items, *partialOf(e, f))
		}
		return write(w, f, http.StatusOK, f.kind(f.as), list)
	case f.as != "":
		return notConverted(fmt.Sprintf("you requested %s, but the requested object is a list (*%sList)", f.as, c.internalName()))
	case f.media == typeProtobuf:
		return c.writeProtobufList(w, meta, entries)
	}
	return c.writeJSONList(w, f, meta, entries)
}

// writeProtobufList writes the two fields that every list of the API has:
// 1 is metadata, 2 the items. The list is never in memory as a whole: its
// length is known from the entries' own bytes, which are copied through a
// small buffer.
func (c *call) writeProtobufList(w http.ResponseWriter, meta metav1.ListMeta, entries []*view.Entry) error {
	metaRaw, err := meta.Marshal()
	if err != nil {
		return fmt.Errorf("encode list metadata: %w", err)
	}
	size := fieldSize(len(metaRaw))
	for _, e := range entries {
		raw, err := e.In(c.version).Protobuf()
		if err != nil {
			return notAcceptable(mediaTypes...)
		}
		size += fieldSize(len(raw))
	}
	apiVersion, kind := c.version.GVK.ToAPIVersionAndKind()
	typeMeta := runtime.TypeMeta{APIVersion: apiVersion, Kind: kind + "List"}
	typeRaw, err := typeMeta.Marshal()
	if err != nil {
		return fmt.Errorf("encode list: %w", err)
	}
	// runtime.Unknown: 1 type, 2 the list, 3 and 4 content encoding and type, both empty.
	head := appendField([]byte("k8s\x00"), 1, typeRaw)
	head = binary.AppendUvarint(append(head, 2<<3|2), uint64(size))
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+size+len(resource.EnvelopeTail)))
	stream := newListStream(w, typeProtobuf)
	stream.add(appendField(head, 1, metaRaw))
	var prefix [binary.MaxVarintLen64]byte
	for _, e := range entries {
		raw, err := e.In(c.version).Protobuf()
		if err != nil {
			return err
		}
		if !stream.add(binary.AppendUvarint(append(prefix[:0], 2<<3|2), uint64(len(raw))), raw) {
			return nil
		}
	}
	stream.add([]byte(resource.EnvelopeTail))
	stream.end()
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
