package apiserver

import (
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/apply"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
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
			return apierrors.NewNotFound(c.version.GR(), c.target.name)
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
		return apierrors.NewMethodNotSupported(c.version.GR(), c.verb)
	}
	c.writeWarnings(w)
	return write(w, f, http.StatusOK, resource.ScaleKind, c.scaleOf(obj))
}

// scaleOf returns the Scale of an object, as clients see it: without managed
// fields.
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
	body := *c // the same request, about a Scale
	body.info, body.version = apply.Scales, apply.Scales.Served[0]
	return s.mutate(c, c.key(), func(old resource.Object) (change, error) {
		was := c.scaleOf(old)
		owners, err := apply.ToScale(c.info, old.GetManagedFields()) // those of the replicas
		if err != nil {
			return change{}, fmt.Errorf("read managed fields of %s: %w", old.GetName(), err)
		}
		was.ManagedFields = owners
		wanted, err := s.readScale(&body, was, data, media)
		if err != nil {
			return change{}, err
		}
		c.warnings = body.warnings
		a := c.attributes(admissionv1.Update, wanted, was)
		a.Kind = resource.ScaleKind
		if err := s.admitChange(c, a); err != nil {
			return change{}, err
		}
		if uid := wanted.UID; uid != "" && uid != old.GetUID() {
			return change{}, c.preconditionFailed("UID", string(uid), string(old.GetUID()))
		}
		if n := wanted.Spec.Replicas; n < 0 {
			return change{}, apierrors.NewInvalid(resource.ScaleKind.GroupKind(), old.GetName(), field.ErrorList{
				field.Invalid(field.NewPath("spec", "replicas"), n, "must be greater than or equal to 0")})
		}
		obj := old.DeepCopyObject().(resource.Object)
		obj.SetResourceVersion(wanted.ResourceVersion)
		c.info.Scale.SetSpec(obj, wanted.Spec.Replicas)
		entries, err := apply.FromScale(c.info, old.GetManagedFields(), wanted.ManagedFields)
		if err != nil {
			return change{}, err
		}
		obj.SetManagedFields(entries)
		whole := *c
		whole.target.subresource, whole.part = "", nil
		return s.succeed(&whole, a, obj, old)
	})
}

// readScale returns the wanted Scale, with managed fields.
func (s *Server) readScale(c *call, was *autoscalingv1.Scale, data []byte, media string) (*autoscalingv1.Scale, error) {
	wanted, err := s.scaleFrom(c, was, data, media)
	if err != nil {
		return nil, err
	}
	if err := c.takePlace(wanted); err != nil {
		return nil, err
	}
	return wanted, c.checkName(wanted)
}

func (s *Server) scaleFrom(c *call, was *autoscalingv1.Scale, data []byte, media string) (*autoscalingv1.Scale, error) {
	if c.verb == "update" {
		wanted := &autoscalingv1.Scale{}
		err := c.decodeBody(data, media, resource.ScaleKind, wanted)
		if err == nil {
			s.owners.Update(c.write(), was, wanted)
		}
		return wanted, err
	}
	patched, err := s.patcher(c, types.PatchType(media), data)
	if err != nil {
		return nil, err
	}
	obj, err := patched(&view.Entry{Info: apply.Scales, Key: c.key(), Object: was})
	if err != nil {
		return nil, err
	}
	return obj.(*autoscalingv1.Scale), nil
}
