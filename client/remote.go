package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Watched is a kind that a remote component keeps in its cache.
type Watched struct {
	Kind *resource.Info
	// Fields restricts it, as a field selector: "spec.nodeName=a".
	Fields string

	// Of one object that is followed:
	namespace, name string
	synced          func()
}

// RemoteConfig says how to reach an API server over HTTP.
type RemoteConfig struct {
	Server  string // "https://host:6443"
	HTTP    *http.Client
	Watched []Watched
	Follow  *Follow // nil for nothing
	Log     *slog.Logger
}

// Remote is the transport over HTTP: a client whose cache is fed by watches.
// The revisions of its view count its own changes, not the server's, since the
// watches of different kinds are not in step.
type Remote struct {
	config   RemoteConfig
	cache    *watchcache.Cache
	follower follower
	running  sync.WaitGroup // of the watches

	mu       sync.Mutex // guards the feeding of the cache
	revision int64
	synced   map[*resource.Info]chan struct{} // closed when the kind is complete
}

// NewRemote returns a client with an empty cache; Run fills it.
func NewRemote(config RemoteConfig) *Remote {
	r := &Remote{
		config: config, cache: watchcache.New(0), synced: map[*resource.Info]chan struct{}{},
		follower: follower{refs: map[view.Key][]Ref{}, watches: map[Ref]*followed{}},
	}
	for _, w := range config.Watched {
		r.synced[w.Kind] = make(chan struct{})
	}
	return r
}

// Cache implements Client.
func (r *Remote) Cache() *watchcache.Cache { return r.cache }

// Synced waits until every watched kind is complete in the cache.
func (r *Remote) Synced(ctx context.Context) error {
	for _, ch := range r.synced {
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Run keeps the cache current until ctx ends, whatever happens to the server.
func (r *Remote) Run(ctx context.Context) error {
	for _, w := range r.config.Watched {
		w.synced = func() { r.markSynced(w.Kind) }
		r.running.Go(func() { r.keep(ctx, w) })
	}
	r.running.Wait()
	return nil
}

// Waits between two tries to watch: they grow while the server is away.
const (
	retryFirst = 200 * time.Millisecond
	retryMost  = 5 * time.Second
)

// keep watches one kind. A watch that breaks goes on where it was; one that is
// too old starts anew.
func (r *Remote) keep(ctx context.Context, w Watched) {
	from, wait := "", retryFirst
	for ctx.Err() == nil {
		next, err := r.watch(ctx, w, from)
		if next != from {
			wait = retryFirst
		}
		from = next
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			from = ""
			continue
		}
		if err != nil && ctx.Err() == nil {
			r.config.Log.Warn("lost the watch; trying again", "kind", w.Kind.GVR.Resource, "err", err, "in", wait)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, retryMost)
	}
}

// watch streams one kind into the cache from a resource version, or from the
// start if that is empty. It returns the version it came to.
func (r *Remote) watch(ctx context.Context, w Watched, from string) (string, error) {
	q := url.Values{"watch": {"true"}, "allowWatchBookmarks": {"true"}}
	if w.Fields != "" {
		q.Set("fieldSelector", w.Fields)
	}
	var seen map[view.Key]bool // while the initial objects come in
	if from == "" {
		q.Set("sendInitialEvents", "true")
		q.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan))
		seen = map[view.Key]bool{}
	} else {
		q.Set("resourceVersion", from)
	}
	res, err := r.request(ctx, http.MethodGet, collection(w.Kind, w.namespace)+"?"+q.Encode(), protobufMedia+";stream=watch,"+protobufMedia, "", nil)
	if err != nil {
		return from, err
	}
	defer res.Body.Close()
	for {
		event, err := readFrame(res.Body)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil // the server ends watches from time to time
			}
			return from, err
		}
		obj, initialEnd, err := r.decodeEvent(w.Kind, event)
		if err != nil {
			return from, err
		}
		if event.Type != string(watch.Bookmark) {
			r.take(ctx, w.Kind, event.Type, obj)
			if seen != nil {
				seen[view.KeyOf(obj)] = true
				continue
			}
		}
		if initialEnd {
			r.prune(w, seen)
			r.unfollow(ctx, w.Kind, seen)
			seen = nil
			w.synced()
		}
		if seen == nil {
			from = obj.GetResourceVersion()
		}
	}
}

func (r *Remote) markSynced(kind *resource.Info) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.synced[kind]:
	default:
		close(r.synced[kind])
	}
}

// maxFrame bounds one watch event, in bytes: more than any object can have.
const maxFrame = 16 << 20

func readFrame(body io.Reader) (*metav1.WatchEvent, error) {
	var head [4]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return nil, fmt.Errorf("read watch event: %d bytes are more than %d", size, maxFrame)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, fmt.Errorf("read watch event: %w", err)
	}
	event := &metav1.WatchEvent{}
	if err := event.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("decode watch event: %w", err)
	}
	return event, nil
}

func (r *Remote) decodeEvent(kind *resource.Info, event *metav1.WatchEvent) (obj resource.Object, initialEnd bool, err error) {
	if event.Type == string(watch.Error) {
		return nil, false, decodeStatus(event.Object.Raw)
	}
	obj, err = resource.DecodeStored(kind, event.Object.Raw)
	if err != nil {
		return nil, false, err
	}
	end := event.Type == string(watch.Bookmark) && obj.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
	return obj, end, nil
}

// take puts one event into the cache, after what the object names.
func (r *Remote) take(ctx context.Context, kind *resource.Info, event string, obj resource.Object) {
	follows := r.config.Follow != nil && r.config.Follow.Of == kind
	if follows && event != string(watch.Deleted) {
		r.follow(ctx, view.KeyOf(obj), r.refsOf(obj))
	}
	r.apply(kind, event, obj)
	if follows && event == string(watch.Deleted) {
		r.follow(ctx, view.KeyOf(obj), nil)
	}
}

// apply puts one event into the cache, under the next revision of the cache's
// own.
func (r *Remote) apply(kind *resource.Info, event string, obj resource.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	version := obj.GetResourceVersion()
	if have := r.cache.View().Entry(kind, view.KeyOf(obj)); have != nil && event != string(watch.Deleted) && have.Object.GetResourceVersion() == version {
		return
	}
	r.revision++
	update := watchcache.Update{Info: kind, Key: view.KeyOf(obj), Revision: r.revision}
	if event != string(watch.Deleted) {
		update.Entry = view.ForeignEntry(kind, obj, r.revision)
	}
	r.cache.Apply([]watchcache.Update{update}, r.revision)
}

// prune removes what was deleted while no watch was there: of what w is about,
// all that was not seen.
func (r *Remote) prune(w Watched, seen map[view.Key]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	var updates []watchcache.Update
	for e := range r.cache.View().Entries(w.Kind, w.namespace, view.Key{Namespace: w.namespace, Name: w.name}) {
		if w.name != "" && e.Key.Name != w.name {
			break
		}
		if !seen[e.Key] {
			updates = append(updates, watchcache.Update{Info: w.Kind, Key: e.Key, Revision: r.revision})
		}
	}
	r.cache.Apply(updates, r.revision)
}

const protobufMedia = "application/vnd.kubernetes.protobuf"

func collection(kind *resource.Info, namespace string) string {
	path := "/api/" + kind.GVR.Version
	if kind.GVR.Group != "" {
		path = "/apis/" + kind.GVR.Group + "/" + kind.GVR.Version
	}
	if namespace != "" && kind.Namespaced {
		path += "/namespaces/" + namespace
	}
	return path + "/" + kind.GVR.Resource
}

// Do implements Client.
func (r *Remote) Do(ctx context.Context, op Op) (resource.Object, error) {
	method, path, body, media, err := encodeOp(op)
	if err != nil {
		return nil, err
	}
	res, err := r.request(ctx, method, path, protobufMedia, media, body, causeOf(op)...)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: read answer: %w", op, err)
	}
	result, err := decodeResult(op, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return result, r.await(ctx, op, result)
}

// Read implements Reader.
func (r *Remote) Read(ctx context.Context, kind *resource.Info, namespace, name string) (resource.Object, error) {
	res, err := r.request(ctx, http.MethodGet, collection(kind, namespace)+"/"+name, protobufMedia, "", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("get %s %s: read answer: %w", kind.GVR.Resource, name, err)
	}
	return resource.DecodeStored(kind, data)
}

// decodeResult reads the answer to an operation: the object, or what a
// subresource answers with. A Status gives the object that was sent.
func decodeResult(op Op, data []byte) (resource.Object, error) {
	unknown, err := resource.OpenEnvelope(data)
	if err != nil {
		return nil, err
	}
	if unknown.Kind == "Status" {
		return op.Object, nil
	}
	obj := op.Kind.New()
	if op.Subresource != "" && op.Object != nil && unknown.Kind != op.Kind.GVK.Kind {
		obj = op.Object.DeepCopyObject().(resource.Object)
	}
	return decodeInto(obj, unknown)
}

func decodeInto(obj resource.Object, unknown *runtime.Unknown) (resource.Object, error) {
	m, ok := obj.(interface{ Unmarshal([]byte) error })
	if !ok {
		return nil, fmt.Errorf("decode %s: it has no protobuf form", unknown.Kind)
	}
	if err := m.Unmarshal(unknown.Raw); err != nil {
		return nil, fmt.Errorf("decode %s: %w", unknown.Kind, err)
	}
	return obj, nil
}

// await returns when the cache shows the result of a write, if it holds the
// kind and would hold the object.
func (r *Remote) await(ctx context.Context, op Op, result resource.Object) error {
	if op.Subresource != "" && op.Subresource != "status" || op.Verb == resource.Delete || result == nil {
		return nil
	}
	reader := r.cache.Read(r.cache.View().Revision(), op.Kind)
	defer reader.Close()
	key := view.KeyOf(result)
	for {
		e := r.cache.View().Entry(op.Kind, key)
		if e == nil || newer(e.Object.GetResourceVersion(), result.GetResourceVersion()) {
			return nil
		}
		if _, _, err := reader.Next(ctx); err != nil && !errors.Is(err, watchcache.ErrTooOld) {
			return err
		}
	}
}

// newer tells whether resource version a is b or later (KEP-5504: they are
// comparable numbers).
func newer(a, b string) bool {
	na, _ := strconv.ParseUint(a, 10, 64) // not a number: 0, older than all
	nb, _ := strconv.ParseUint(b, 10, 64)
	return na >= nb
}

func encodeOp(op Op) (method, path string, body []byte, media string, err error) {
	path = collection(op.Kind, op.Namespace)
	if op.Verb != resource.Create || op.Subresource != "" {
		path += "/" + op.Name
	}
	if op.Subresource != "" {
		path += "/" + op.Subresource
	}
	media = protobufMedia
	switch op.Verb {
	case resource.Create, resource.Update:
		method = map[resource.Verb]string{resource.Create: http.MethodPost, resource.Update: http.MethodPut}[op.Verb]
		body, err = resource.MarshalProtobuf(op.Object)
		if err == nil {
			body, err = resource.Envelope(gvkOf(op), body)
		}
	case resource.Patch:
		method, body, media = http.MethodPatch, op.Patch, string(op.PatchType)
	case resource.Delete:
		method, media = http.MethodDelete, "application/json"
		body, err = json.Marshal(cmp.Or(op.Delete, &metav1.DeleteOptions{}))
	default:
		err = fmt.Errorf("%s: the verb is not one of create, update, patch, delete", op)
	}
	return method, path, body, media, err
}

// causeOf is the header that tells what led to an operation: names and values in
// turn.
func causeOf(op Op) []string {
	after := cause.Itself
	if op.After.Revision > 0 {
		after = op.After.String()
	}
	return []string{cause.Header, after, cause.ReasonHeader, url.PathEscape(op.Cause)}
}

// request sends a request and returns the answer if it is a success. headers are
// further names and values in turn.
func (r *Remote) request(ctx context.Context, method, path, accept, media string, body []byte, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(r.config.Server, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", accept)
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.config.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxFrame))
	if err != nil {
		return nil, fmt.Errorf("read the refusal of %s %s: %w", method, path, err)
	}
	var unknown runtime.Unknown
	if rest, ok := bytes.CutPrefix(data, []byte("k8s\x00")); ok && unknown.Unmarshal(rest) == nil {
		return nil, decodeStatus(data)
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, res.Status, data)
}

// decodeStatus returns the error that a Status in protobuf stands for.
func decodeStatus(data []byte) error {
	unknown, err := resource.OpenEnvelope(data)
	if err != nil {
		return err
	}
	var status metav1.Status
	if err := status.Unmarshal(unknown.Raw); err != nil {
		return fmt.Errorf("decode status: %w", err)
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// bodyKinds are the kinds of subresources that take an object of their own.
var bodyKinds = map[string]schema.GroupVersionKind{
	"binding":  {Version: "v1", Kind: "Binding"},
	"eviction": {Group: "policy", Version: "v1", Kind: "Eviction"},
	"token":    {Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"},
	"scale":    {Group: "autoscaling", Version: "v1", Kind: "Scale"},
}

func gvkOf(op Op) schema.GroupVersionKind {
	if gvk, ok := bodyKinds[op.Subresource]; ok {
		return gvk
	}
	return op.Kind.GVK
}
