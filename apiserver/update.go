package apiserver

import (
	"net/http"
	"reflect"

	admissionv1 "k8s.io/api/admission/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource"
)

// serveUpdate replaces an object, or its status.
func (s *Server) serveUpdate(w http.ResponseWriter, r *http.Request, c *call) error {
	obj, err := c.readObject(r)
	if err != nil {
		return err
	}
	if obj.GetName() == "" {
		obj.SetName(c.target.name)
	}
	updated, err := s.update(c, obj)
	if err != nil {
		return err
	}
	return c.writeObject(w, r, http.StatusOK, updated)
}

// update replaces the stored object by obj, which it takes over.
func (s *Server) update(c *call, obj resource.Object) (resource.Object, error) {
	if err := c.takePlace(obj); err != nil {
		return nil, err
	}
	if obj.GetName() != c.target.name {
		return nil, apierrors.NewBadRequest("the name of the object (" + obj.GetName() + ") does not match the name on the URL (" + c.target.name + ")")
	}
	wanted := obj
	return s.mutate(c, c.key(), func(old resource.Object) (change, error) {
		obj := wanted.DeepCopyObject().(resource.Object)
		return s.replace(c, obj, old)
	})
}

// replace prepares, admits and validates obj as the successor of old.
func (s *Server) replace(c *call, obj, old resource.Object) (change, error) {
	if uid := obj.GetUID(); uid != "" && uid != old.GetUID() {
		return change{}, c.checkUID(obj, old)
	}
	if err := c.checkVersion(obj, old); err != nil {
		return change{}, err
	}
	if c.info.Default != nil {
		c.info.Default(obj)
	}
	attributes := c.attributes(admissionv1.Update, obj, old)
	if err := s.admission.Mutate(c.ctx, attributes); err != nil {
		return change{}, err
	}
	if err := s.confirmGrant(c, obj, old); err != nil {
		return change{}, err
	}
	release, err := s.allocate(c, obj, old)
	if err != nil {
		return change{}, err
	}
	defer release()
	c.prepareUpdate(obj, old)
	if err := c.validate(resource.Update, obj, old); err != nil {
		return change{}, err
	}
	if err := s.admission.Validate(c.ctx, attributes); err != nil {
		return change{}, err
	}
	if c.finished(obj) {
		return change{obj: obj, remove: true}, nil
	}
	obj.SetResourceVersion(old.GetResourceVersion())
	if apiequality.Semantic.DeepEqual(obj, old) {
		return change{same: true}, nil
	}
	return change{obj: obj}, nil
}

func (c *call) checkUID(obj, old resource.Object) error {
	return apierrors.NewConflict(c.info.GR(), obj.GetName(), field.Invalid(field.NewPath("metadata", "uid"), obj.GetUID(),
		"Precondition failed: UID in precondition: "+string(obj.GetUID())+", UID in object meta: "+string(old.GetUID())))
}

// copyInto makes to a deep copy of from; both are of the same type.
func copyInto(to, from resource.Object) {
	reflect.ValueOf(to).Elem().Set(reflect.ValueOf(from.DeepCopyObject()).Elem())
}
