package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// bookmarkEvery is how often an idle watch that allows bookmarks is told the
// current revision.
const bookmarkEvery = time.Minute

// watcher is one watch request while it is served.
type watcher struct {
	call      *call
	sel       selection
	format    format
	timeout   time.Duration // 0: none asked for
	bookmarks bool
	initial   bool // send the current objects first, then a bookmark that says so
	w         http.ResponseWriter
	flush     func()
	headers   bool // the first Table carries the column definitions
	head      eventHead
	table     *tableMaker
	patience  patience
	out       []byte // events that were not written yet; its memory is used again
	added     int    // how many these are
	sent      prometheus.Counter
}

// serveWatch streams changes until the client goes, its timeout ends or it has
// fallen behind.
func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request, c *call) error {
	q := r.URL.Query()
	watcher, err := newWatcher(w, r, c, q)
	if err != nil {
		return err
	}
	from, v, err := s.watchFrom(c, q)
	if err != nil {
		return err
	}
	if watcher.format.media == typeYAML {
		return notAcceptable(streamTypes...)
	}
	watcher.sent = s.metrics.Watch(c.version.GVR)
	timeout := time.Duration(1800+rand.IntN(1800)) * time.Second // upstream's: spread, so that clients do not come back at once
	if watcher.timeout > 0 {
		timeout = watcher.timeout
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()

	reader := s.cache.ReadBucket(from, c.info, watcher.sel.bucket())
	defer reader.Close()
	if reader.Behind() {
		return tooOld(from, s.View().Revision())
	}
	defer watcher.patience.end() // where an error ends it in the middle of a write
	watcher.start()
	if v != nil {
		if err := watcher.sendInitial(v); err != nil {
			return nil
		}
	}
	watcher.follow(ctx, reader)
	return nil
}

func newWatcher(w http.ResponseWriter, r *http.Request, c *call, q url.Values) (*watcher, error) {
	f, err := negotiate(r)
	if err != nil {
		return nil, err
	}
	opts, err := c.listOptions(q, true)
	if err != nil {
		return nil, err
	}
	return &watcher{
		call: c, sel: opts.sel, timeout: opts.timeout, format: f, w: w, headers: true, head: newEventHead(c.version.GVK), table: newTableMaker(c.version, f, c.now),
		patience:  newPatience(w),
		bookmarks: truthy(q.Get("allowWatchBookmarks")),
		initial:   wantsInitial(q),
		flush:     func() { _ = http.NewResponseController(w).Flush() }, // a client that is gone ends the context
	}, nil
}

// wantsInitial tells whether the client wants to know where the initial objects
// end: who starts from nothing and says nothing of it does too, as upstream
// defaults it.
func wantsInitial(q url.Values) bool {
	if version := q.Get("resourceVersion"); !q.Has("sendInitialEvents") && q.Get("resourceVersionMatch") == "" {
		return version == "" || version == "0"
	}
	return truthy(q.Get("sendInitialEvents"))
}

// watchFrom returns the revision after which changes are sent, and the view
// whose objects are sent before them, if any.
func (s *Server) watchFrom(c *call, q url.Values) (int64, *view.View, error) {
	version := q.Get("resourceVersion")
	if err := checkVersion(version); err != nil {
		return 0, nil, plainError(err.Error()) // as for a single object
	}
	if truthy(q.Get("sendInitialEvents")) {
		v, err := s.viewAt(c, version)
		if err != nil {
			return 0, nil, err
		}
		return v.Revision(), v, nil
	}
	if version == "" || version == "0" {
		v := s.View()
		return v.Revision(), v, nil
	}
	from, err := parseVersion(version)
	return from, nil, err
}

func tooOld(wanted, current int64) error {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", wanted, current))
}

func (w *watcher) start() {
	media := w.format.media
	if media == typeProtobuf {
		media += ";stream=watch"
	}
	w.w.Header().Set("Content-Type", media)
	w.call.writeWarnings(w.w)
	w.w.WriteHeader(http.StatusOK)
	w.flush()
}

// sendInitial sends the current objects as additions.
func (w *watcher) sendInitial(v *view.View) error {
	var err error
	w.sel.entries(v, view.Key{}, func(e *view.Entry) bool {
		err = w.add(watch.Added, e, e.Revision)
		return err == nil
	})
	if err == nil && w.initial && w.bookmarks {
		err = w.bookmark(v.Revision(), true)
	}
	if err == nil {
		err = w.send()
	}
	return err
}

// gather is how long a watch that has just written waits for more to write with
// it: under a burst of changes a write for each would cost many times the
// changes themselves. A change that comes alone is written at once.
const gather = 3 * time.Millisecond

// follow sends changes until ctx ends.
func (w *watcher) follow(ctx context.Context, reader *watchcache.Reader) {
	var tick <-chan time.Time
	if w.bookmarks {
		ticker := time.NewTicker(bookmarkEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	var written time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			if w.bookmark(reader.Position(), false) != nil || w.send() != nil {
				return
			}
			continue
		case <-reader.Ready():
		}
		if rest := gather - time.Since(written); rest > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(rest):
			}
		}
		changes, _, err := reader.Poll()
		if err != nil {
			w.fail(err)
			return
		}
		for _, change := range changes {
			if w.addChange(change) != nil {
				return
			}
		}
		if len(w.out) > 0 {
			if w.send() != nil {
				return
			}
			written = time.Now()
		}
	}
}

// addChange adds a change as the watcher's selection sees it: an object that
// starts to match is added, one that no longer does is deleted.
func (w *watcher) addChange(change watchcache.Change) error {
	before := change.Old != nil && w.sel.matches(change.Old)
	after := change.New != nil && w.sel.matches(change.New)
	switch {
	case after && before:
		return w.add(watch.Modified, change.New, change.Revision)
	case after:
		return w.add(watch.Added, change.New, change.Revision)
	case before:
		return w.add(watch.Deleted, change.Old, change.Revision) // as it was when it still matched
	}
	return nil
}

// add adds one event about an entry to what is to be written. A deletion carries the revision of the
// deletion, which the entry, being older, does not.
func (w *watcher) add(kind watch.EventType, e *view.Entry, revision int64) error {
	if e.Revision != revision && kind == watch.Deleted {
		obj := e.Object.DeepCopyObject().(resource.Object)
		e = view.NewEntry(e.Info, obj, revision)
	}
	switch w.format.as {
	case "Table":
		table, err := w.table.single(e, w.headers)
		if err != nil {
			return err
		}
		w.headers = false
		return w.frame(kind, table)
	case "PartialObjectMetadata":
		return w.addObject(kind, w.format.kind("PartialObjectMetadata"), partialOf(e, w.format))
	}
	e = e.In(w.call.version)
	if w.format.media == typeProtobuf {
		raw, err := e.Protobuf()
		if err != nil {
			return err
		}
		w.out = w.head.appendProtobuf(w.out, kind, raw)
	} else {
		w.out = w.head.appendJSON(w.out, kind, e.JSON())
	}
	return w.spill()
}

// addObject adds one event about an object that is no entry.
func (w *watcher) addObject(kind watch.EventType, gvk schema.GroupVersionKind, obj runtime.Object) error {
	if w.format.media == typeProtobuf {
		raw, err := resource.MarshalProtobuf(obj)
		if err != nil {
			return err
		}
		data, err := resource.Envelope(gvk, raw)
		if err != nil {
			return err
		}
		return w.frame(kind, data)
	}
	data, err := json.Marshal(obj)
	if err != nil {
		return fmt.Errorf("encode %s: %w", gvk.Kind, err)
	}
	if obj.GetObjectKind().GroupVersionKind().Empty() {
		data = withType(gvk, data)
	}
	return w.frame(kind, data)
}

// outSize is how much is gathered before it is written, and how much memory a
// watch keeps for that.
const outSize = 64 << 10

// frame adds an event about a document to what is to be written.
func (w *watcher) frame(kind watch.EventType, object []byte) error {
	if w.format.media == typeProtobuf {
		w.out = appendProtobufEvent(w.out, kind, object)
	} else {
		w.out = appendJSONEvent(w.out, kind, object)
	}
	return w.spill()
}

// spill counts the event that was added, and writes when much has gathered.
func (w *watcher) spill() error {
	w.added++
	if len(w.out) < outSize {
		return nil
	}
	return w.write()
}

func (w *watcher) write() error {
	w.patience.renew()
	_, err := w.w.Write(w.out)
	w.sent.Add(float64(w.added))
	w.added = 0
	if w.out = w.out[:0]; cap(w.out) > 2*outSize {
		w.out = nil
	}
	return err
}

// send writes what was added and brings it on its way.
func (w *watcher) send() error {
	if len(w.out) > 0 {
		if err := w.write(); err != nil {
			return err
		}
	}
	w.flush()
	w.patience.end()
	return nil
}

// bookmark tells the client the revision it has reached (KEP-956), and that the
// initial objects are complete (KEP-3157).
func (w *watcher) bookmark(revision int64, initialEnd bool) error {
	obj := w.sel.info.New()
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	if initialEnd {
		obj.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	e := &view.Entry{Info: w.sel.info, Object: obj, Revision: revision}
	return w.add(watch.Bookmark, e, revision)
}

// fail ends the watch with an error event.
func (w *watcher) fail(err error) {
	if errors.Is(err, watchcache.ErrTooOld) {
		err = apierrors.NewResourceExpired("too old resource version: the watch fell behind")
	}
	status := statusOf(err).ErrStatus
	status.TypeMeta = metav1.TypeMeta{}
	if w.addObject(watch.Error, schema.GroupVersionKind{Version: "v1", Kind: "Status"}, &status) == nil {
		_ = w.send() // the watch ends either way
	}
}
