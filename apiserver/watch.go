package apiserver

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

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
	include   metav1.IncludeObjectPolicy
	bookmarks bool
	initial   bool // send the current objects first, then a bookmark that says so
	w         http.ResponseWriter
	flush     func()
	headers   bool // the first Table carries the column definitions
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
	timeout := time.Duration(1800+rand.IntN(1800)) * time.Second // upstream's: spread, so that clients do not come back at once
	if text := q.Get("timeoutSeconds"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			return invalidParameter("timeoutSeconds", text, "a number of seconds")
		}
		if seconds > 0 {
			timeout = time.Duration(seconds) * time.Second
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()

	reader := s.cache.Read(from, c.info)
	defer reader.Close()
	if reader.Behind() {
		return tooOld(from, s.View().Revision())
	}
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
	if f.media == typeYAML {
		return nil, notAcceptable()
	}
	sel, err := c.selectionOf(q)
	if err != nil {
		return nil, err
	}
	return &watcher{
		call: c, sel: sel, format: f, w: w, headers: true,
		include:   metav1.IncludeObjectPolicy(q.Get("includeObject")),
		bookmarks: truthy(q.Get("allowWatchBookmarks")),
		initial:   truthy(q.Get("sendInitialEvents")),
		flush:     func() { _ = http.NewResponseController(w).Flush() }, // a client that is gone ends the context
	}, nil
}

// watchFrom returns the revision after which changes are sent, and the view
// whose objects are sent before them, if any.
func (s *Server) watchFrom(c *call, q url.Values) (int64, *view.View, error) {
	version := q.Get("resourceVersion")
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
	from, err := strconv.ParseInt(version, 10, 64)
	if err != nil || from < 0 {
		return 0, nil, invalidParameter("resourceVersion", version, "a resource version of this server")
	}
	return from, nil, nil
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
	w.w.Header().Set("Cache-Control", "no-cache, private")
	w.call.writeWarnings(w.w)
	w.w.WriteHeader(http.StatusOK)
	w.flush()
}

// sendInitial sends the current objects as additions.
func (w *watcher) sendInitial(v *view.View) error {
	var err error
	w.sel.entries(v, view.Key{}, func(e *view.Entry) bool {
		err = w.send(watch.Added, e, e.Revision)
		return err == nil
	})
	if err == nil && w.initial && w.bookmarks {
		err = w.bookmark(v.Revision(), true)
	}
	w.flush()
	return err
}

// follow sends changes until ctx ends.
func (w *watcher) follow(ctx context.Context, reader *watchcache.Reader) {
	var tick <-chan time.Time
	if w.bookmarks {
		ticker := time.NewTicker(bookmarkEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			if w.bookmark(reader.Position(), false) != nil {
				return
			}
			w.flush()
			continue
		case <-reader.Ready():
		}
		changes, _, err := reader.Poll()
		if err != nil {
			w.fail(err)
			return
		}
		for _, change := range changes {
			if w.sendChange(change) != nil {
				return
			}
		}
		if len(changes) > 0 {
			w.flush()
		}
	}
}

// sendChange sends a change as the watcher's selection sees it: an object that
// starts to match is added, one that no longer does is deleted.
func (w *watcher) sendChange(change watchcache.Change) error {
	before := change.Old != nil && w.sel.matches(change.Old)
	after := change.New != nil && w.sel.matches(change.New)
	switch {
	case after && before:
		return w.send(watch.Modified, change.New, change.Revision)
	case after:
		return w.send(watch.Added, change.New, change.Revision)
	case before:
		last := change.Old
		if change.New != nil {
			last = change.New
		}
		return w.send(watch.Deleted, last, change.Revision)
	}
	return nil
}

// send writes one event about an entry. A deletion carries the revision of the
// deletion, which the entry, being older, does not.
func (w *watcher) send(kind watch.EventType, e *view.Entry, revision int64) error {
	if e.Revision != revision && kind == watch.Deleted {
		obj := e.Object.DeepCopyObject().(resource.Object)
		e = view.NewEntry(e.Info, obj, revision)
	}
	switch w.format.as {
	case "Table":
		table := tableOf(w.call.version, []*view.Entry{e}, w.include, w.call.now, w.headers)
		table.ResourceVersion = e.Object.GetResourceVersion()
		w.headers = false
		return w.sendObject(kind, tableKind, table)
	case "PartialObjectMetadata":
		return w.sendObject(kind, partialKind, partialOf(e))
	}
	if w.format.media == typeProtobuf {
		raw, err := e.In(w.call.version).Protobuf()
		if err != nil {
			return err
		}
		data, err := resource.Envelope(w.call.version.GVK, raw)
		if err != nil {
			return err
		}
		return w.frame(kind, data)
	}
	return w.frame(kind, withType(w.call.version.GVK, e.In(w.call.version).JSON()))
}

// sendObject writes one event about an object that is no entry.
func (w *watcher) sendObject(kind watch.EventType, gvk schema.GroupVersionKind, obj runtime.Object) error {
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

// frame writes an event: a line of JSON, or a length and a protobuf document.
func (w *watcher) frame(kind watch.EventType, object []byte) error {
	var out []byte
	if w.format.media == typeProtobuf {
		event := metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: object}}
		raw, err := event.Marshal()
		if err != nil {
			return fmt.Errorf("encode watch event: %w", err)
		}
		out = binary.BigEndian.AppendUint32(make([]byte, 0, len(raw)+4), uint32(len(raw)))
		out = append(out, raw...)
	} else {
		out = make([]byte, 0, len(object)+40)
		out = append(out, `{"type":"`...)
		out = append(out, kind...)
		out = append(out, `","object":`...)
		out = append(out, object...)
		out = append(out, "}\n"...)
	}
	_, err := w.w.Write(out)
	return err
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
	return w.send(watch.Bookmark, e, revision)
}

// fail ends the watch with an error event.
func (w *watcher) fail(err error) {
	if errors.Is(err, watchcache.ErrTooOld) {
		err = apierrors.NewResourceExpired("too old resource version: the watch fell behind")
	}
	status := statusOf(err).ErrStatus
	status.TypeMeta = metav1.TypeMeta{}
	if w.sendObject(watch.Error, schema.GroupVersionKind{Version: "v1", Kind: "Status"}, &status) == nil {
		w.flush()
	}
}
