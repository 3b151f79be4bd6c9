package apiserver

import (
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
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

// listOptions are the parameters of a list or watch.
type listOptions struct {
	sel     selection
	limit   int           // 0: none
	timeout time.Duration // of a watch; 0: none given
}

// listOptions reads the parameters of a list or watch, and refuses those that do
// not go together. The order of the checks is upstream's.
func (c *call) listOptions(q url.Values, watching bool) (listOptions, error) {
	opts := listOptions{sel: selection{info: c.info, version: c.version, labels: labels.Everything(), name: c.target.name}}
	s := &opts.sel
	if c.info.Namespaced {
		s.namespace = c.target.namespace
	}
	seconds, err := integer(q, "timeoutSeconds")
	if err != nil {
		return opts, err
	}
	limit, err := integer(q, "limit")
	if err != nil {
		return opts, err
	}
	opts.timeout, opts.limit = time.Duration(max(seconds, 0))*time.Second, int(max(limit, 0)) // upstream takes a negative limit for none
	if text := q.Get("labelSelector"); text != "" {
		if s.labels, err = labels.Parse(text); err != nil {
			return opts, apierrors.NewBadRequest(err.Error())
		}
		s.equal = equalPairs(s.labels)
	}
	if text := q.Get("fieldSelector"); text != "" {
		parsed, err := fields.ParseSelector(text)
		if err != nil {
			return opts, apierrors.NewBadRequest(err.Error())
		}
		s.fields = parsed.Requirements()
	}
	if err := checkListOptions(q, watching); err != nil {
		return opts, err
	}
	for _, requirement := range s.fields {
		if c.version.Fields[requirement.Field] == nil {
			return opts, c.unknownField(requirement.Field)
		}
	}
	return opts, nil
}

// integer is the value of a parameter, 0 where it is not given.
func integer(q url.Values, name string) (int64, error) {
	text := q.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(err.Error())
	}
	return n, nil
}

// unknownField refuses a field that cannot be selected by. Kinds with no fields
// of their own are worded otherwise.
func (c *call) unknownField(name string) error {
	if hasOwnFields(c.version) {
		return apierrors.NewBadRequest("field label not supported: " + name)
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only %q, %q", name, "metadata.name", "metadata.namespace"))
}

// hasOwnFields tells whether a version has selectable fields beside those that all
// kinds have.
func hasOwnFields(version *resource.ServedInfo) bool {
	for name := range version.Fields {
		if !strings.HasPrefix(name, "metadata.") {
			return true
		}
	}
	return false
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
	internalversion.SetListOptionsDefaults(&options, true)
	if errs := validation.ValidateListOptions(&options, true); len(errs) > 0 {
		return apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("ListOptions").GroupKind(), "", errs)
	}
	return nil
}

// listPage is the answer to a list, before it is encoded.
type listPage struct {
	entries   iter.Seq[*view.Entry] // may be read again and again
	revision  int64
	next      string // continue token or ""
	remaining *int64
}

func (p *listPage) meta() metav1.ListMeta {
	return metav1.ListMeta{ResourceVersion: strconv.FormatInt(p.revision, 10), Continue: p.next, RemainingItemCount: p.remaining}
}

// page reads the wanted page from the view.
func (s *Server) page(c *call, q url.Values) (listPage, error) {
	opts, err := c.listOptions(q, false)
	if err != nil {
		return listPage{}, err
	}
	sel, limit := opts.sel, opts.limit
	if q.Get("resourceVersion") == "0" && q.Get("continue") == "" && c.info.TTL == 0 {
		limit = 0 // whoever takes what is at hand gets all of it: upstream's cache knows no pages
	}
	v, from, err := s.listView(c, q, limit)
	if err != nil {
		return listPage{}, err
	}
	var chosen iter.Seq[*view.Entry] = func(yield func(*view.Entry) bool) { sel.entries(v, from, yield) }
	all := sel.labels.Empty() && len(sel.fields) == 0
	if !all || sel.name != "" { // to choose again would cost more than to remember
		some := chosen
		if limit > 0 {
			some = first(limit, chosen)
		}
		chosen = slices.Values(slices.Collect(some))
	}
	page := listPage{revision: v.Revision(), entries: chosen}
	if limit == 0 {
		return page, nil
	}
	page.entries = first(limit, chosen)
	last := nth(limit, chosen)
	if last == nil || sel.bucket().Name != "" {
		return page, nil
	}
	// What is left may turn out not to be selected: upstream does not look at it.
	rest := int64(v.Count(sel.info, sel.namespace, view.Key{Namespace: last.Key.Namespace, Name: last.Key.Name + "\x00"}))
	if rest == 0 {
		return page, nil
	}
	s.snapshots.keep(v, s.deps.Now())
	page.next = sel.tokenAfter(last.Key, v.Revision()).encode()
	if all { // upstream counts the rest only without selectors
		page.remaining = &rest
	}
	return page, nil
}

// first yields the first n entries.
func first(n int, entries iter.Seq[*view.Entry]) iter.Seq[*view.Entry] {
	return func(yield func(*view.Entry) bool) {
		left := n
		for e := range entries {
			if left--; left < 0 || !yield(e) {
				return
			}
		}
	}
}

// nth returns the nth entry, nil where there are fewer.
func nth(n int, entries iter.Seq[*view.Entry]) *view.Entry {
	for e := range entries {
		if n--; n == 0 {
			return e
		}
	}
	return nil
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
	return c.writeList(w, f, page.meta(), page.entries)
}

// writeList answers with entries in the form that the client asked for.
func (c *call) writeList(w http.ResponseWriter, f format, meta metav1.ListMeta, entries iter.Seq[*view.Entry]) error {
	c.writeWarnings(w)
	switch {
	case f.as == "Table":
		return c.writeTableList(w, f, meta, entries)
	case f.as == "PartialObjectMetadataList" && f.media == typeProtobuf:
		return writeProtobufList(w, f.kind("PartialObjectMetadataList"), meta, entries, partialItem{})
	case f.as == "PartialObjectMetadataList":
		return writePartialList(w, f, meta, entries)
	case f.as != "":
		return notConverted(fmt.Sprintf("you requested %s, but the requested object is a list (*%sList)", f.as, c.internalName()))
	case f.media == typeProtobuf:
		kind := c.version.GVK
		kind.Kind += "List"
		return writeProtobufList(w, kind, meta, entries, wholeItem{c.version})
	}
	return c.writeJSONList(w, f, meta, entries)
}
