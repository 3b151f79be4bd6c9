package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serveDelete deletes one object.
func (s *Server) serveDelete(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	opts, err := c.deleteOptions(r)
	if err != nil {
		return err
	}
	obj, gone, err := s.delete(c, c.key(), opts)
	if err != nil {
		return err
	}
	if !gone {
		return s.writeResult(w, c, f, http.StatusOK, obj)
	}
	if c.info.ShowsDeleted {
		return s.writeResult(w, c, f, http.StatusOK, obj)
	}
	c.writeWarnings(w)
	return write(w, f, http.StatusOK, schema.GroupVersionKind{Version: "v1", Kind: "Status"}, &metav1.Status{
		Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{
			Name: obj.GetName(), Group: c.version.GVR.Group, Kind: c.info.GVR.Resource, UID: obj.GetUID(),
		},
	})
}

// deleteOptions reads the options from the body, or from the query.
func (c *call) deleteOptions(r *http.Request) (*metav1.DeleteOptions, error) {
	opts := &metav1.DeleteOptions{}
	data, media, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if err := decodeDeleteOptions(data, media, opts); err != nil {
		return nil, err
	}
	if len(data) == 0 { // upstream looks at the query only where there is no body
		if err := readDeleteOptions(r.URL.Query(), opts); err != nil {
			return nil, err
		}
	}
	c.dryRun = len(opts.DryRun) > 0
	if err := c.validateDelete(opts); err != nil {
		return nil, err
	}
	if c.info.DeleteWarning != "" && opts.PropagationPolicy == nil && opts.OrphanDependents == nil { //nolint:staticcheck // old clients still send it
		c.warn(c.info.DeleteWarning)
	}
	return opts, nil
}

// readDeleteOptions reads options from the query.
func readDeleteOptions(q url.Values, opts *metav1.DeleteOptions) error {
	if text := q.Get("gracePeriodSeconds"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		opts.GracePeriodSeconds = &seconds
	}
	if text := q.Get("propagationPolicy"); text != "" {
		policy := metav1.DeletionPropagation(text)
		opts.PropagationPolicy = &policy
	}
	if text := q.Get("orphanDependents"); text != "" {
		orphan := truthy(text)
		opts.OrphanDependents = &orphan //nolint:staticcheck // old clients still send it
	}
	opts.DryRun = q["dryRun"]
	return nil
}

// decodeDeleteOptions reads options of any version: clients send them as v1, or
// in the group and version of the object.
func decodeDeleteOptions(data []byte, media string, opts *metav1.DeleteOptions) error {
	if len(data) == 0 {
		return nil
	}
	var err error
	switch media {
	case typeProtobuf:
		var unknown *runtime.Unknown
		if unknown, err = resource.OpenEnvelope(data); err == nil {
			err = opts.Unmarshal(unknown.Raw)
		}
	case typeYAML, typeJSON:
		if media == typeYAML {
			data, err = yaml.YAMLToJSON(data)
		}
		if err == nil {
			err = kjson.UnmarshalCaseSensitivePreserveInts(data, opts)
		}
	default:
		return unsupportedMedia(mediaTypes...)
	}
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if opts.Kind != "" && opts.Kind != "DeleteOptions" {
		return apierrors.NewBadRequest(fmt.Sprintf("the kind of the body is %s, want DeleteOptions", opts.Kind))
	}
	return nil
}

func (c *call) validateDelete(opts *metav1.DeleteOptions) error {
	if g := opts.GracePeriodSeconds; g != nil && *g < 0 {
		one := int64(1) // upstream treats a negative grace as one second
		opts.GracePeriodSeconds = &one
	}
	if errs := validation.ValidateDeleteOptions(opts); len(errs) > 0 {
		return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	return nil
}

// delete deletes the object at key, or marks it as being deleted. gone tells
// which.
func (s *Server) delete(c *call, key view.Key, opts *metav1.DeleteOptions) (obj resource.Object, gone bool, err error) {
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	obj, err = s.mutate(c, key, func(old resource.Object) (change, error) {
		if err := c.checkPreconditions(opts.Preconditions, old); err != nil {
			return change{}, err
		}
		if err := s.admitDelete(c, old, opts); err != nil {
			return change{}, err
		}
		result := c.markDeleted(old, opts)
		gone = result.remove
		return result, nil
	})
	return obj, gone, err
}

// markDeleted decides what a delete does to an object: kinds may give it grace
// or keep it, finalizers keep it, otherwise it goes.
func (c *call) markDeleted(old resource.Object, opts *metav1.DeleteOptions) change {
	obj := old.DeepCopyObject().(resource.Object)
	var action resource.DeleteAction
	if c.info.Delete != nil {
		action = c.info.Delete(c.request(resource.Delete), obj, opts)
	}
	finalizers := propagationFinalizers(obj.GetFinalizers(), opts, c.info.Orphans)
	grace := int64(0)
	if action.Grace != nil {
		grace = *action.Grace
	}
	if len(finalizers) == 0 && grace == 0 && !action.Keep {
		if c.dryRun && action.Grace != nil && obj.GetDeletionTimestamp() == nil {
			c.stampDeletion(obj, c.now, grace) // what is not taken out is shown as it was to go
		}
		return change{obj: obj, remove: true, dated: true}
	}
	obj.SetFinalizers(finalizers)
	deletion := metav1.NewTime(c.now.Add(time.Duration(grace) * time.Second).Truncate(time.Second))
	if was := obj.GetDeletionTimestamp(); was == nil {
		c.stampDeletion(obj, deletion.Time, grace)
		if action.Keep { // what a controller empties has no grace, not even none
			obj.SetDeletionGracePeriodSeconds(nil)
		}
	} else {
		if action.Keep {
			return change{same: true}
		}
		before := obj.GetDeletionGracePeriodSeconds()
		if before != nil && grace >= *before && slices.Equal(finalizers, old.GetFinalizers()) {
			return change{same: true} // grace is only ever shortened
		}
		if before == nil || grace < *before {
			if before != nil { // grace counts from the first delete
				deletion = metav1.NewTime(was.Add(time.Duration(grace-*before) * time.Second))
			}
			obj.SetDeletionTimestamp(&deletion)
			obj.SetDeletionGracePeriodSeconds(&grace)
		}
	}
	if action.Update != nil {
		action.Update(obj)
	}
	return change{obj: obj}
}

// stampDeletion marks an object as being deleted for the first time.
func (c *call) stampDeletion(obj resource.Object, at time.Time, grace int64) {
	deletion := metav1.NewTime(at.Truncate(time.Second))
	obj.SetDeletionTimestamp(&deletion)
	obj.SetDeletionGracePeriodSeconds(&grace)
	if c.info.HasGeneration && obj.GetGeneration() > 0 {
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
}

// propagationFinalizers puts the finalizer of the wanted propagation among the
// object's own. Where none is wanted, one that is there stays, and else the
// kind's default counts.
func propagationFinalizers(have []string, opts *metav1.DeleteOptions, orphans bool) []string {
	orphan, foreground := false, false
	switch {
	case opts.PropagationPolicy != nil:
		orphan = *opts.PropagationPolicy == metav1.DeletePropagationOrphan
		foreground = *opts.PropagationPolicy == metav1.DeletePropagationForeground
	case opts.OrphanDependents != nil: //nolint:staticcheck // old clients still send it
		orphan = *opts.OrphanDependents //nolint:staticcheck // as above
	case orphans && !slices.Contains(have, metav1.FinalizerOrphanDependents) && !slices.Contains(have, metav1.FinalizerDeleteDependents):
		orphan = true
	default:
		return have
	}
	out := slices.DeleteFunc(slices.Clone(have), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	return out
}

// serveDeleteCollection deletes every object that the selectors choose.
func (s *Server) serveDeleteCollection(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	if _, err := c.listOptions(q, false); err != nil {
		return err
	}
	opts, err := c.deleteOptions(r)
	if err != nil {
		return err
	}
	page, err := s.page(c, q)
	if err != nil {
		return err
	}
	for e := range page.entries { // upstream answers with what they were before
		if _, _, err := s.delete(c, e.Key, opts); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return c.writeList(w, f, page.meta(), page.entries)
}
