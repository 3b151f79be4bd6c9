package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/cause"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// TracePath is where the server tells what led to an object: the parameters are
// kind (any name of it), namespace and name, the answer is a cause.Trace. It is no
// part of the Kubernetes API. It takes the permission to get that path, and to get
// the object; of others on the way that the reader may not get only the time is
// told.
const TracePath = "/skiff/v1/trace"

func (s *Server) serveTrace(w http.ResponseWriter, r *http.Request, user authn.User) {
	q := r.URL.Query()
	if r.Method != http.MethodGet {
		writeError(w, r, errMethod)
		return
	}
	trace, err := s.Trace(r.Context(), user, q.Get("kind"), view.Key{Namespace: q.Get("namespace"), Name: q.Get("name")})
	if err != nil {
		writeError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	_ = json.NewEncoder(w).Encode(trace) // the client may be gone
}

// Trace is what the server tells a user at TracePath.
func (s *Server) Trace(ctx context.Context, user authn.User, kind string, key view.Key) (cause.Trace, error) {
	info := s.kindNamed(kind)
	if info == nil {
		return cause.Trace{}, apierrors.NewBadRequest(fmt.Sprintf("kind %q is not known: give one that \"kubectl api-resources\" shows", kind))
	}
	if !info.Namespaced {
		key.Namespace = ""
	} else if key.Namespace == "" {
		return cause.Trace{}, apierrors.NewBadRequest(fmt.Sprintf("namespace: give that of %s %q", info.Singular, key.Name))
	}
	if err := s.permit(toGet(user, info, key)); err != nil {
		return cause.Trace{}, err
	}
	if err := s.findCauses(ctx); err != nil {
		return cause.Trace{}, err
	}
	may := func(ref cause.Ref) bool {
		of := s.kindNamed(ref.Resource)
		return of != nil && s.permit(toGet(user, of, view.Key{Namespace: ref.Namespace, Name: ref.Name})) == nil
	}
	s.causes.mu.Lock()
	defer s.causes.mu.Unlock()
	t := s.causes.memory.Trace(info.GR().String(), key.Namespace, key.Name, may)
	if len(t.Writes) == 0 && s.View().Entry(info, key) == nil {
		return t, apierrors.NewNotFound(info.GR(), key.Name)
	}
	return t, nil // without writes where the last one was too long ago
}

func toGet(user authn.User, info *resource.Info, key view.Key) authz.Attributes {
	return authz.Attributes{
		User: user, Verb: "get", Group: info.GVR.Group, Version: info.GVR.Version, Resource: info.GVR.Resource, Namespace: key.Namespace, Name: key.Name,
	}
}

// kindNamed finds a kind by any of its names, as kubectl does.
func (s *Server) kindNamed(name string) *resource.Info {
	name = strings.ToLower(name)
	for _, info := range s.kinds.all {
		if gr := info.GR(); name == gr.String() || name == gr.Resource || name == info.Singular || slices.Contains(info.Short, name) || name == strings.ToLower(info.GVK.Kind) {
			return info
		}
	}
	return nil
}
