package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/skiff-sh/skiff/resource"
)

// maxPatchOperations bounds a JSON patch, as upstream does.
const maxPatchOperations = 10000

// servePatch changes an object, or its status, by a patch.
func (s *Server) servePatch(w http.ResponseWriter, r *http.Request, c *call) error {
	data, media, err := readBody(r)
	if err != nil {
		return err
	}
	patched, err := s.patch(c, types.PatchType(media), data)
	if err != nil {
		return err
	}
	return c.writeObject(w, r, http.StatusOK, patched)
}

// patch applies a patch to the stored object. A patch that names no resource
// version is applied anew to whatever another writer has left.
func (s *Server) patch(c *call, kind types.PatchType, data []byte) (resource.Object, error) {
	apply, err := c.patcher(kind, data)
	if err != nil {
		return nil, err
	}
	return s.mutate(c, c.key(), func(old resource.Object) (change, error) {
		obj, err := apply(old)
		if err != nil {
			return change{}, err
		}
		if obj.GetName() != old.GetName() || obj.GetNamespace() != old.GetNamespace() {
			return change{}, apierrors.NewBadRequest("the name and namespace of an object cannot be changed by a patch")
		}
		return s.replace(c, obj, old)
	})
}

// patcher returns a function that returns what the patch makes of old. The patch
// is about the version that the client speaks.
func (c *call) patcher(kind types.PatchType, data []byte) (func(old resource.Object) (resource.Object, error), error) {
	apply, err := patchFunc(kind, data, c.version.New())
	if err != nil {
		return nil, err
	}
	return func(old resource.Object) (resource.Object, error) {
		doc, err := json.Marshal(c.version.To(old))
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", c.version.GVK.Kind, err)
		}
		out, err := apply(withType(c.version.GVK, doc))
		if err != nil {
			return nil, patchError(err)
		}
		obj := c.version.New()
		if err := c.decodeJSON(out, c.version.GVK, obj); err != nil {
			return nil, err
		}
		return c.version.From(obj), nil
	}, nil
}

// patchFunc returns the function from a JSON document to the patched one.
// sample is of the document's Go type: its tags say how lists merge.
func patchFunc(kind types.PatchType, data []byte, sample any) (func(doc []byte) ([]byte, error), error) {
	if !json.Valid(data) {
		return nil, apierrors.NewBadRequest("error decoding patch: the body is not JSON")
	}
	switch kind {
	case types.JSONPatchType:
		return jsonPatchFunc(data)
	case types.MergePatchType:
		return func(doc []byte) ([]byte, error) { return jsonpatch.MergePatch(doc, data) }, nil
	case types.StrategicMergePatchType:
		return func(doc []byte) ([]byte, error) { return strategicpatch.StrategicMergePatch(doc, data, sample) }, nil
	}
	return nil, unsupportedMedia(string(kind), string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType))
}

func jsonPatchFunc(data []byte) (func(doc []byte) ([]byte, error), error) {
	operations, err := jsonpatch.DecodePatch(data)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	if len(operations) > maxPatchOperations {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxPatchOperations, len(operations)))
	}
	return func(doc []byte) ([]byte, error) {
		out, err := operations.Apply(doc)
		if err != nil {
			return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
		}
		return out, nil
	}, nil
}

func patchError(err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return apierrors.NewBadRequest(err.Error())
}
