package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource"
)

// serveScale reads or sets the replica count of an object, whatever its kind
// (autoscaling/v1 Scale).
func (s *Server) serveScale(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	var obj resource.Object
	switch c.verb {
	case "get":
		e := s.View().Entry(c.info, c.key())
		if e == nil {
			return apierrors.NewNotFound(c.info.GR(), c.target.name)
		}
		obj = e.Object
	case "update", "patch":
		data, media, err := readBody(r)
		if err != nil {
			return err
		}
		if obj, err = s.scale(c, data, media); err != nil {
			return err
		}
	default:
		return apierrors.NewMethodNotSupported(c.info.GR(), c.verb)
	}
	c.writeWarnings(w)
	return write(w, f, http.StatusOK, resource.ScaleKind, c.scaleOf(obj))
}

func (c *call) scaleOf(obj resource.Object) *autoscalingv1.Scale {
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: obj.GetName(), Namespace: obj.GetNamespace(), UID: obj.GetUID(),
			ResourceVersion: obj.GetResourceVersion(), CreationTimestamp: obj.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: c.info.Scale.Spec(obj)},
		Status: autoscalingv1.ScaleStatus{Replicas: c.info.Scale.Status(obj), Selector: c.info.Scale.Selector(obj)},
	}
}

// scale sets the replicas from a Scale, or from a patch of one.
func (s *Server) scale(c *call, data []byte, media string) (resource.Object, error) {
	return s.mutate(c, c.key(), func(old resource.Object) (change, error) {
		wanted := c.scaleOf(old)
		if err := c.readScale(wanted, data, media); err != nil {
			return change{}, err
		}
		if n := wanted.Spec.Replicas; n < 0 {
			return change{}, apierrors.NewInvalid(resource.ScaleKind.GroupKind(), old.GetName(), field.ErrorList{
				field.Invalid(field.NewPath("spec", "replicas"), n, "must be greater than or equal to 0")})
		}
		obj := old.DeepCopyObject().(resource.Object)
		obj.SetResourceVersion(wanted.ResourceVersion)
		c.info.Scale.SetSpec(obj, wanted.Spec.Replicas)
		whole := *c
		whole.target.subresource, whole.part = "", nil
		return s.replace(&whole, obj, old)
	})
}

func (c *call) readScale(scale *autoscalingv1.Scale, data []byte, media string) error {
	if c.verb == "update" {
		*scale = autoscalingv1.Scale{}
		return c.decodeBody(data, media, resource.ScaleKind, scale)
	}
	apply, err := patchFunc(types.PatchType(media), data, &autoscalingv1.Scale{})
	if err != nil {
		return err
	}
	scale.ResourceVersion = ""
	doc, err := json.Marshal(scale)
	if err != nil {
		return fmt.Errorf("encode scale: %w", err)
	}
	out, err := apply(doc)
	if err != nil {
		return patchError(err)
	}
	*scale = autoscalingv1.Scale{}
	return c.decodeJSON(out, resource.ScaleKind, scale)
}
