package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/apply"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/view"
)

// maxTries bounds how often an update is tried anew when others write the same
// object.
const maxTries = 20

// store writes obj if what is stored is still old (nil: nothing). obj gets its
// new resource version.
func (s *Server) store(c *call, obj resource.Object, old *view.Entry) error {
	if c.dryRun {
		return nil
	}
	obj.SetResourceVersion("")
	data, err := resource.EncodeProtobuf(c.info, obj)
	if err != nil {
		return err
	}
	w := store.Write{Key: c.info.Key(obj.GetNamespace(), obj.GetName()), Value: data, TTL: c.info.TTL}
	operation := "create"
	if old != nil {
		operation, w.If = "update", old.Revision
	}
	revision, err := s.write(c, operation, w, old, obj)
	if err != nil {
		return err
	}
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	return nil
}

// remove deletes an entry from the store. The revision is that of the removal, 0
// where nothing is to be done.
func (s *Server) remove(c *call, e *view.Entry) (revision int64, err error) {
	if c.dryRun {
		return 0, nil
	}
	return s.write(c, "delete", store.Write{Key: c.info.Key(e.Key.Namespace, e.Key.Name), If: e.Revision}, e, nil)
}

// write is the one way to the store for what a request changes from old to obj
// (nil: nothing). It returns when the view shows the change, or the one of
// somebody else that stood in its way (*store.ConflictError): whoever reads after
// the answer must not find the object as it was before.
func (s *Server) write(c *call, operation string, w store.Write, old *view.Entry, obj resource.Object) (int64, error) {
	w.While = c.while
	began := time.Now()
	revision, err := s.deps.Store.Write(c.ctx, w)
	s.metrics.Stored(operation, c.info.GR(), time.Since(began))
	var conflict *store.ConflictError
	switch {
	case err == nil:
		s.remember(c, revision, old, obj)
		_, err = s.cache.WaitFor(c.ctx, revision)
		return revision, err
	case !errors.As(err, &conflict):
		return 0, err
	case conflict.Exists:
		revision = conflict.Current.ModRevision
	default: // the removal has left no revision to wait for but the store's
		var unread error
		if revision, unread = s.deps.Store.Revision(c.ctx); unread != nil {
			return 0, unread
		}
	}
	if _, late := s.cache.WaitFor(c.ctx, revision); late != nil {
		return 0, late
	}
	return 0, err
}

// storeError turns a store's error into the API's.
func (s *Server) storeError(c *call, err error) error {
	switch {
	case errors.Is(err, store.ErrFenced):
		return apierrors.NewServiceUnavailable("this server leads no more: another acts in its place")
	case errors.Is(err, store.ErrUncertain):
		// without a time to try again: client-go would do so by itself, and its
		// create could be refused by its own first try
		return apierrors.NewTimeoutError("the store did not answer in time: the write may or may not have happened, read the object to find out", 0)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("the request ended before the store answered", 0)
	}
	return err
}

// change is what a mutation makes of the stored object. Returning remove
// deletes it.
type change struct {
	obj    resource.Object
	remove bool
	// dated says that obj, which is removed, gets the revision of its removal.
	dated bool
	// same says that nothing is to be written.
	same bool
	// release, where not nil, is called when the view shows the change: it frees
	// what was held for it.
	release func()
}

func (ch change) done() {
	if ch.release != nil {
		ch.release()
	}
}

// mutate changes the object at key by fn, which gets the stored object (shared,
// not to be changed) and may be called again when someone else wrote first.
func (s *Server) mutate(c *call, key view.Key, fn func(old resource.Object) (change, error)) (resource.Object, error) {
	return s.mutateEntry(c, key, func(e *view.Entry) (change, error) { return fn(e.Object) })
}

// mutateEntry is mutate with the object's encoded forms at hand. A call that may
// create gets nil where there is none.
func (s *Server) mutateEntry(c *call, key view.Key, fn func(e *view.Entry) (change, error)) (resource.Object, error) {
	for range maxTries {
		e := s.View().Entry(c.info, key)
		if e == nil && !c.mayCreate {
			return nil, apierrors.NewNotFound(c.version.GR(), key.Name)
		}
		result, err := fn(e)
		if err != nil {
			return nil, err
		}
		err = s.commit(c, e, result)
		result.done()
		switch {
		case err == nil && result.same:
			return e.Object, nil
		case err == nil:
			c.created = e == nil
			return result.obj, nil
		}
		if conflict := new(store.ConflictError); !errors.As(err, &conflict) {
			return nil, s.storeError(c, err)
		}
	}
	return nil, apierrors.NewConflict(c.version.GR(), key.Name, errors.New(optimisticLock))
}

// commit writes a change of an entry; nil for none.
func (s *Server) commit(c *call, e *view.Entry, result change) error {
	switch {
	case result.same:
		return nil
	case result.remove:
		revision, err := s.remove(c, e)
		if result.dated && revision > 0 {
			result.obj.SetResourceVersion(strconv.FormatInt(revision, 10))
		}
		return err
	}
	return s.store(c, result.obj, e)
}

const optimisticLock = "the object has been modified; please apply your changes to the latest version and try again"

// checkVersion compares the resource version that a writer read with the
// stored one. Where the kind allows it, an empty one means "whatever is stored",
// and becomes that.
func (c *call) checkVersion(obj, old resource.Object) error {
	version := obj.GetResourceVersion()
	if version == old.GetResourceVersion() {
		return nil
	}
	number := uint64(0)
	if version != "" {
		var err error
		if number, err = strconv.ParseUint(version, 10, 64); err != nil {
			return plainError(err.Error())
		}
	}
	switch {
	case number == 0 && c.info.Conditional:
		kind := schema.GroupKind{Group: c.version.GVR.Group, Kind: c.info.GVR.Resource}
		return apierrors.NewInvalid(kind, obj.GetName(), field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), number, "must be specified for an update")})
	case number == 0:
		obj.SetResourceVersion(old.GetResourceVersion())
		return nil
	}
	return apierrors.NewConflict(c.version.GR(), obj.GetName(), errors.New(optimisticLock))
}

// checkPreconditions compares what a delete expects with what is stored.
func (c *call) checkPreconditions(p *metav1.Preconditions, obj resource.Object) error {
	// upstream names the kind here, not the resource
	gr := schema.GroupResource{Group: c.info.GVK.Group, Resource: c.info.GVK.Kind}
	switch {
	case p == nil:
	case p.UID != nil && *p.UID != obj.GetUID():
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf(
			"the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, obj.GetUID()))
	case p.ResourceVersion != nil && *p.ResourceVersion != obj.GetResourceVersion():
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf(
			"the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, obj.GetResourceVersion()))
	}
	return nil
}

// preconditionFailed is the refusal of an update that expects another object
// than the stored one, as upstream's store words it.
func (c *call) preconditionFailed(what, want, have string) error {
	key := c.key()
	stored := c.info.Key(key.Namespace, key.Name)
	if c.dryRun { // upstream's dry run asks before the store's prefix is added
		stored = strings.TrimPrefix(stored, strings.TrimSuffix(root, "/"))
	}
	return apierrors.NewConflict(c.version.GR(), key.Name, fmt.Errorf(
		"StorageError: invalid object, Code: 4, Key: %s, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: %s in precondition: %s, %s in object meta: %s",
		stored, what, want, what, have))
}

// plainError is an error that upstream has no status for: it answers with the
// text alone.
func plainError(text string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: text,
	}}
}

func (c *call) invalid(name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(c.info.GVK.GroupKind(), name, errs)
}

// validate checks metadata and the kind's own rules. old is nil on create.
func (c *call) validate(verb resource.Verb, obj, old resource.Object) error {
	errs := c.info.CheckMeta(c.target.subresource, obj, old)
	if c.info.Validate != nil {
		errs = append(errs, c.info.Validate(c.request(verb), obj, old)...)
	}
	if old == nil && len(errs) == 0 {
		errs = c.info.CheckUnseen(obj)
	}
	if err := c.invalid(obj.GetName(), once(errs)); err != nil {
		return err
	}
	if c.info.Warn != nil && c.part == nil {
		c.warn(c.info.Warn(obj, old)...)
	}
	return nil
}

// once is what is wrong without what was found before: several rules look at the
// metadata, and upstream drops what they say again.
func once(errs field.ErrorList) field.ErrorList {
	said := map[string]bool{}
	return slices.DeleteFunc(errs, func(e *field.Error) bool {
		text := e.Error()
		again := said[text]
		said[text] = true
		return again
	})
}

// prepareUpdate gives obj what an update may not change, and counts the
// generation. A write to a part changes that part.
func (c *call) prepareUpdate(obj, old resource.Object) {
	if c.part != nil && c.part.Own() {
		c.part.Take(obj, old)
	}
	meta, was := metaOf(obj), metaOf(old)
	keepUID(meta, was)
	meta.CreationTimestamp = was.CreationTimestamp
	if was.DeletionTimestamp != nil { // one that the writer made up is for the validation to refuse
		meta.DeletionTimestamp = was.DeletionTimestamp
	}
	if was.DeletionGracePeriodSeconds != nil && meta.DeletionGracePeriodSeconds == nil {
		meta.DeletionGracePeriodSeconds = was.DeletionGracePeriodSeconds
	}
	meta.Generation, meta.SelfLink = was.Generation, ""
	if c.part == nil && c.info.CopyStatus != nil {
		c.info.CopyStatus(obj, old)
	}
	if c.info.Prepare != nil {
		c.info.Prepare(c.request(resource.Update), obj, old)
	}
	if c.info.HasGeneration && c.target.subresource != "status" && !apiequality.Semantic.DeepEqual(c.info.Spec(obj), c.info.Spec(old)) {
		meta.Generation++
	}
}

// keepUID fills in a UID that the writer left out. Another one is for the
// validation to refuse.
func keepUID(meta, was *metav1.ObjectMeta) {
	if meta.UID == "" {
		meta.UID = was.UID
	}
}

// unchanged tells whether an update changes nothing but times of managed fields,
// and takes those back.
func unchanged(obj, old resource.Object) bool {
	entries, were := obj.GetManagedFields(), old.GetManagedFields()
	if !apply.SameButForTimes(entries, were) {
		return false
	}
	obj.SetManagedFields(were)
	if equal(obj, old) {
		return true
	}
	obj.SetManagedFields(entries)
	return false
}

// equal tells whether two objects are the same when stored.
func equal(obj, old resource.Object) bool {
	a, err := resource.MarshalProtobuf(obj)
	if err != nil { // kinds without a protobuf form
		return apiequality.Semantic.DeepEqual(obj, old)
	}
	b, err := resource.MarshalProtobuf(old)
	return err == nil && bytes.Equal(a, b)
}

// finished tells whether an object that is being deleted has nothing left to
// wait for: no finalizers, no grace, nothing that its kind keeps it for.
func (c *call) finished(obj resource.Object) bool {
	grace := obj.GetDeletionGracePeriodSeconds()
	if obj.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 || (grace != nil && *grace != 0) {
		return false
	}
	return c.info.Delete == nil || !c.info.Delete(c.request(resource.Delete), obj, &metav1.DeleteOptions{}).Keep
}
