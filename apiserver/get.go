package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serveGet answers with one object. The view holds every write that this server
// has acknowledged, so it is as fresh as the store.
func (s *Server) serveGet(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	wanted := r.URL.Query().Get("resourceVersion")
	if err := checkVersion(wanted); err != nil && c.info.TTL == 0 {
		return plainError(err.Error()) // as an error of the cache, which upstream has for all but short-lived objects
	}
	v, err := s.viewAt(c, wanted)
	if err != nil {
		return err
	}
	e := v.Entry(c.info, c.key())
	if e == nil {
		return apierrors.NewNotFound(c.version.GR(), c.target.name)
	}
	return c.writeEntry(w, f, http.StatusOK, e)
}

// key is the object that the path names.
func (c *call) key() view.Key {
	if !c.info.Namespaced {
		return view.Key{Name: c.target.name}
	}
	return view.Key{Namespace: c.target.namespace, Name: c.target.name}
}

// viewAt returns a view that is not older than the wanted resource version.
func (s *Server) viewAt(c *call, wanted string) (*view.View, error) {
	if wanted == "" || wanted == "0" {
		return s.View(), nil
	}
	revision, err := parseVersion(wanted)
	if err != nil {
		return nil, err
	}
	if v := s.View(); v.Revision() >= revision {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, 3*time.Second)
	defer cancel()
	v, err := s.cache.WaitFor(ctx, revision)
	if err != nil {
		return nil, tooLarge(revision, s.View().Revision())
	}
	return v, nil
}

// checkVersion tells what is wrong with a resource version; nil for none at all.
func checkVersion(text string) *field.Error {
	if text == "" {
		return nil
	}
	if _, err := strconv.ParseUint(text, 10, 64); err != nil {
		return field.Invalid(field.NewPath("resourceVersion"), text, err.Error())
	}
	return nil
}

// parseVersion reads the resource version of a list or watch.
func parseVersion(text string) (int64, error) {
	if err := checkVersion(text); err != nil {
		return 0, apierrors.NewBadRequest("invalid resource version: " + err.Error())
	}
	revision, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		revision = math.MaxInt64 // beyond all that will be
	}
	return revision, nil
}

// tooLarge says that a resource version lies in the future.
func tooLarge(wanted, current int64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", wanted, current), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version",
	}}
	return err
}

// writeEntry answers with one entry in the wanted form.
func (c *call) writeEntry(w http.ResponseWriter, f format, code int, e *view.Entry) error {
	c.writeWarnings(w)
	switch {
	case f.as == "Table":
		table, err := newTableMaker(c.version, f, c.now).single(e, true)
		if err != nil {
			return err
		}
		return writeJSON(w, f, code, table)
	case f.as == "PartialObjectMetadata":
		return write(w, f, code, f.kind(f.as), partialOf(e, f))
	case f.as != "":
		return notConverted(fmt.Sprintf("you requested %s, but the requested object is not a list (*%s)", f.as, c.internalName()))
	case f.media == typeProtobuf:
		raw, err := e.In(c.version).Protobuf()
		if err != nil {
			return notAcceptable(mediaTypes...)
		}
		data, err := resource.Envelope(c.version.GVK, raw)
		if err != nil {
			return err
		}
		writeBytes(w, typeProtobuf, code, data)
		return nil
	}
	return writeJSON(w, f, code, withType(c.version.GVK, e.In(c.version).JSON()))
}

// writeResult answers with an object that a write led to: as the view has it, if
// it still does, so that it is encoded once for the answer and all watchers.
func (s *Server) writeResult(w http.ResponseWriter, c *call, f format, code int, obj resource.Object) error {
	key := view.KeyOf(obj)
	e := s.View().Entry(c.info, key)
	if c.dryRun || e == nil || e.Object.GetResourceVersion() != obj.GetResourceVersion() || e.Object.GetUID() != obj.GetUID() {
		e = &view.Entry{Info: c.info, Key: key, Object: obj}
	}
	return c.writeEntry(w, f, code, e)
}

func (c *call) writeWarnings(w http.ResponseWriter) {
	writeWarnings(w, c.warnings...)
	c.warnings = nil // an answer that turns out a refusal says them once
}

func writeWarnings(w http.ResponseWriter, messages ...string) {
	for _, message := range messages {
		text, err := json.Marshal(message)
		if err != nil {
			continue // a string always has a JSON form
		}
		w.Header().Add("Warning", "299 - "+string(text))
	}
}

// partialOf returns the metadata of an entry alone.
func partialOf(e *view.Entry, f format) *metav1.PartialObjectMetadata {
	partial := &metav1.PartialObjectMetadata{ObjectMeta: *metaOf(e.Object)}
	partial.SetGroupVersionKind(f.kind("PartialObjectMetadata"))
	return partial
}
