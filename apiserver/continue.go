package apiserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/view"
)

// continueToken is where the next page starts, in upstream's form: in which
// revision, and after which key below that of the list. Revision -1 is the
// current one, whichever that is.
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

// tokenAfter points behind key.
func (s *selection) tokenAfter(key view.Key, revision int64) continueToken {
	start := key.Name + "\x00"
	if s.info.Namespaced && s.namespace == "" {
		start = key.Namespace + "/" + start
	}
	return continueToken{continueVersion, revision, start}
}

// key is where the page starts.
func (t continueToken) key(info *resource.Info, namespace string) view.Key {
	start := strings.TrimPrefix(t.Start, "/")
	switch {
	case !info.Namespaced:
		return view.Key{Name: start}
	case namespace != "":
		return view.Key{Namespace: namespace, Name: start}
	}
	namespace, name, _ := strings.Cut(start, "/")
	return view.Key{Namespace: namespace, Name: name}
}

func decodeContinue(text string) (continueToken, error) {
	var t continueToken
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil {
		return t, badContinue(": " + err.Error())
	}
	start := t.Start
	if !strings.HasPrefix(start, "/") {
		start = "/" + start
	}
	switch {
	case t.Version != continueVersion:
		return t, badContinue(": server does not recognize this encoded version " + t.Version)
	case t.Revision == 0:
		return t, badContinue(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
	case t.Start == "":
		return t, badContinue(": encoded start key empty (version meta.k8s.io/v1)")
	case path.Clean(start) != start:
		return t, badContinue(": " + t.Start)
	}
	return t, nil
}

func badContinue(why string) error {
	return apierrors.NewBadRequest("invalid continue token: continue key is not valid" + why)
}

// maxSnapshots and snapshotLife bound the views that are kept for pages to come.
// A view costs only what changed since. After its life the store decides whether
// its revision is still known: a token must end some time, as with upstream.
const (
	maxSnapshots = 64
	snapshotLife = 5 * time.Minute
)

// snapshots keeps views that a continue token points into, the oldest first.
type snapshots struct {
	mu    sync.Mutex
	views []snapshot
}

type snapshot struct {
	*view.View
	kept time.Time
}

func (s *snapshots) keep(v *view.View, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(v.Revision(), now) != nil {
		return
	}
	if len(s.views) >= maxSnapshots {
		s.views = slices.Clone(s.views[1:])
	}
	s.views = append(s.views, snapshot{v, now})
}

func (s *snapshots) at(revision int64, now time.Time) *view.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(revision, now)
}

// find forgets the views whose life is over; the lock is held.
func (s *snapshots) find(revision int64, now time.Time) *view.View {
	s.views = slices.DeleteFunc(s.views, func(v snapshot) bool { return now.Sub(v.kept) >= snapshotLife })
	for _, v := range s.views {
		if v.Revision() == revision {
			return v.View
		}
	}
	return nil
}

// listView returns the view that a list reads, and the key it starts at.
func (s *Server) listView(c *call, q url.Values, limit int) (*view.View, view.Key, error) {
	text, version := q.Get("continue"), q.Get("resourceVersion")
	if text == "" {
		v, err := s.exactView(c, q, limit)
		return v, view.Key{}, err
	}
	token, err := decodeContinue(text)
	if err != nil {
		return nil, view.Key{}, err
	}
	if version != "" && version != "0" {
		return nil, view.Key{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	from := token.key(c.info, c.target.namespace)
	if token.Revision < 0 {
		return s.View(), from, nil
	}
	v, err := s.past(c.ctx, c.info, token.Revision)
	if errors.Is(err, store.ErrCompacted) {
		return nil, from, expiredContinue(token)
	}
	return v, from, err
}

// expiredContinue refuses a token whose revision is gone, with another one that
// goes on in the present.
func expiredContinue(token continueToken) error {
	err := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
		"Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted " +
		"between the time the first chunk was returned and now may show up in the list.")
	token.Revision = -1
	err.ErrStatus.Continue = token.encode()
	return err
}

// exactView honours resourceVersion and resourceVersionMatch. A limit without a
// match means exactly that version too.
func (s *Server) exactView(c *call, q url.Values, limit int) (*view.View, error) {
	version, match := q.Get("resourceVersion"), q.Get("resourceVersionMatch")
	legacy := match == "" && limit > 0 && version != "" && version != "0"
	if match != string(metav1.ResourceVersionMatchExact) && !legacy {
		return s.viewAt(c, version)
	}
	revision, err := parseVersion(version)
	if err != nil {
		return nil, err
	}
	if _, err := s.viewAt(c, version); err != nil {
		return nil, err
	}
	v, err := s.past(c.ctx, c.info, revision)
	if errors.Is(err, store.ErrCompacted) {
		return nil, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	return v, err
}

// past returns a view of one kind as it was at a revision: one that was kept, or
// else what the store still knows. Errors: store.ErrCompacted.
func (s *Server) past(ctx context.Context, info *resource.Info, revision int64) (*view.View, error) {
	if v := s.View(); v.Revision() == revision {
		return v, nil
	}
	if v := s.snapshots.at(revision, s.deps.Now()); v != nil {
		return v, nil
	}
	return s.read(ctx, store.Range{Prefix: info.Prefix, Limit: pageSize, Revision: revision})
}
