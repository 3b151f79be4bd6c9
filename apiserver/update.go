package apiserver

import (
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serveUpdate replaces an object, or its status.
func (s *Server) serveUpdate(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	obj, err := c.readObject(r)
	if err != nil {
		return err
	}
	updated, err := s.update(c, obj)
	if err != nil {
		return err
	}
	return s.writeResult(w, c, f, c.successCode(), updated)
}

// update replaces the stored object by obj, which it takes over. Kinds that
// allow it are created where they do not exist.
func (s *Server) update(c *call, obj resource.Object) (resource.Object, error) {
	if err := c.takePlace(obj); err != nil {
		return nil, err
	}
	if err := c.checkName(obj); err != nil {
		return nil, err
	}
	c.dropDoubleOwners(obj, false)
	if c.info.Default != nil {
		c.info.Default(obj)
	}
	c.mayCreate = c.info.CreateOnUpdate && c.target.subresource == ""
	wanted := obj
	return s.mutateEntry(c, c.key(), func(e *view.Entry) (change, error) {
		obj := wanted.DeepCopyObject().(resource.Object)
		old := c.info.New()
		if e != nil {
			old = e.Object
		}
		if uid := obj.GetUID(); uid != "" && uid != old.GetUID() {
			return change{}, c.preconditionFailed("UID", string(uid), string(old.GetUID()))
		}
		s.owners.Update(c.write(), old, obj)
		if e == nil {
			return s.createInstead(c, obj)
		}
		return s.replace(c, obj, old)
	})
}

// createInstead prepares obj to be created by a request that found nothing to
// change.
func (s *Server) createInstead(c *call, obj resource.Object) (change, error) {
	wipeSystemFields(metaOf(obj))
	if c.info.CopyStatus != nil && !c.info.NewStatus {
		c.info.CopyStatus(obj, c.info.New())
	}
	obj.SetResourceVersion("")
	result, err := s.prepareCreate(c, obj)
	if err != nil {
		return change{}, err
	}
	if err := s.permit(attributes(c.user, "create", c.target)); err != nil {
		result.release()
		return change{}, err
	}
	return result, nil
}

// replace prepares, admits and validates obj, defaults and managed fields set,
// as the successor of old.
func (s *Server) replace(c *call, obj, old resource.Object) (change, error) {
	a := c.attributes(admissionv1.Update, obj, old)
	if err := s.admitChange(c, a); err != nil {
		return change{}, err
	}
	c.dropDoubleOwners(obj, true)
	return s.succeed(c, a, obj, old)
}

// succeed prepares and validates obj, which the mutating half of admission has
// seen, as the successor of old. What is left to admit is a.
func (s *Server) succeed(c *call, a *admission.Attributes, obj, old resource.Object) (change, error) {
	if err := s.confirmGrant(c, obj, old); err != nil {
		return change{}, err
	}
	if err := c.checkVersion(obj, old); err != nil {
		return change{}, err
	}
	release, err := s.allocate(c, obj, old)
	if err != nil {
		return change{}, err
	}
	c.prepareUpdate(obj, old)
	same := unchanged(obj, old)
	if err := c.validate(resource.Update, obj, old); err != nil {
		release()
		return change{}, err
	}
	if err := s.admission.Validate(c.ctx, a); err != nil {
		release()
		return change{}, err
	}
	result := change{obj: obj, release: func() { a.Release(); release() }, remove: c.finished(obj)}
	result.same = !result.remove && same
	return result, nil
}

func (c *call) checkName(obj resource.Object) error {
	if obj.GetName() == "" {
		return apierrors.NewBadRequest("the name of the object (" + c.target.name + " based on URL) was undeterminable: name must be provided")
	}
	if obj.GetName() != c.target.name {
		return apierrors.NewBadRequest("the name of the object (" + obj.GetName() + ") does not match the name on the URL (" + c.target.name + ")")
	}
	return nil
}
