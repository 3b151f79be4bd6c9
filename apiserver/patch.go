package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// maxPatchOperations bounds a JSON patch, as upstream does.
const maxPatchOperations = 10000

// patchTypes are the media types of patches, in upstream's order.
var patchTypes = []string{
	string(types.JSONPatchType), string(types.MergePatchType), string(types.StrategicMergePatchType), string(types.ApplyYAMLPatchType),
}

// patchTypeOf returns the type that a request says its patch has.
func patchTypeOf(r *http.Request) types.PatchType {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return types.PatchType(media)
}

// servePatch changes an object, or its status, by a patch.
func (s *Server) servePatch(w http.ResponseWriter, r *http.Request, c *call) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	data, _, err := readBody(r)
	if err != nil {
		return err
	}
	patched, err := s.patch(c, patchTypeOf(r), data)
	if err != nil {
		return err
	}
	return s.writeResult(w, c, f, c.successCode(), patched)
}

// patch applies a patch to the stored object. A patch that names no resource
// version is applied anew to whatever another writer has left. Server-side apply
// creates what does not exist.
func (s *Server) patch(c *call, kind types.PatchType, data []byte) (resource.Object, error) {
	patched, err := s.patcher(c, kind, data)
	if err != nil {
		return nil, err
	}
	return s.mutateEntry(c, c.key(), func(e *view.Entry) (change, error) {
		obj, err := patched(e)
		if err != nil {
			return change{}, err
		}
		if uid := obj.GetUID(); e == nil && uid != "" {
			return change{}, apierrors.NewConflict(c.version.GR(), c.target.name, fmt.Errorf(
				"uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
		}
		if err := c.takePlace(obj); err != nil {
			return change{}, err
		}
		if err := c.checkName(obj); err != nil {
			return change{}, err
		}
		if e == nil {
			return s.createInstead(c, obj)
		}
		return s.replace(c, obj, e.Object)
	})
}

// patcher returns the function from what is stored to the patched object, with
// defaults and managed fields.
func (s *Server) patcher(c *call, kind types.PatchType, data []byte) (func(e *view.Entry) (resource.Object, error), error) {
	if kind == types.ApplyYAMLPatchType {
		c.mayCreate = c.target.subresource == ""
		return s.applier(c, data)
	}
	if err := checkPatch(kind, data); err != nil {
		return nil, err
	}
	var p *patch
	return func(e *view.Entry) (resource.Object, error) {
		if p == nil { // only now: what does not exist is missed before the patch is read
			read, err := newPatch(c, kind, data)
			if err != nil {
				return nil, err
			}
			p = read
		}
		obj, err := s.patched(c, p, e)
		if err != nil {
			return nil, err
		}
		if c.info.Default != nil {
			c.info.Default(obj)
		}
		s.owners.Update(c.write(), e.Object, obj)
		return obj, nil
	}, nil
}

// patched returns what a patch makes of an entry.
func (s *Server) patched(c *call, p *patch, e *view.Entry) (resource.Object, error) {
	if p.merge != nil && len(p.problems) == 0 && c.version.Stored() {
		if obj, ok := s.owners.Patch(c.info, e.Object, p.merge); ok {
			return obj, nil
		}
	}
	versioned := c.version.New()
	doc := withType(c.version.GVK, e.In(c.version).JSON())
	if err := p.apply(c, c.version.To(e.Object), doc, versioned); err != nil {
		return nil, err
	}
	return c.version.From(versioned), nil
}

// patch is a JSON, merge or strategic merge patch.
type patch struct {
	kind types.PatchType
	gvk  schema.GroupVersionKind
	data []byte
	// problems are unknown and duplicate fields of the patch itself.
	problems   []error
	operations jsonpatch.Patch
	strategic  map[string]any
	merge      map[string]any // nil where unknown fields are ignored
}

// checkPatch refuses what is no patch at all.
func checkPatch(kind types.PatchType, data []byte) error {
	if !slices.Contains(patchTypes, string(kind)) {
		return unsupportedMedia(patchTypes...)
	}
	if !json.Valid(data) {
		return apierrors.NewBadRequest("invalid JSON patch")
	}
	return nil
}

// newPatch reads a patch of c's kind.
func newPatch(c *call, kind types.PatchType, data []byte) (*patch, error) {
	p := &patch{kind: kind, gvk: c.version.GVK, data: data}
	switch kind {
	case types.JSONPatchType:
		return p, p.readOperations(c)
	case types.MergePatchType:
		return p, p.read(c, &p.merge, "error decoding patch: ")
	}
	return p, p.read(c, &p.strategic, "")
}

// read decodes the patch into v and keeps its unknown and duplicate fields.
func (p *patch) read(c *call, v any, prefix string) error {
	var err error
	if c.fieldValidation == metav1.FieldValidationIgnore {
		if p.kind != types.MergePatchType {
			err = kjson.UnmarshalCaseSensitivePreserveInts(p.data, v)
		}
	} else {
		p.problems, err = kjson.UnmarshalStrict(p.data, v)
	}
	if err != nil {
		// The text names the Go type that it is read into, and clients know upstream's.
		text := strings.ReplaceAll(err.Error(), reflect.TypeFor[operation]().String(), "handlers.jsonPatchOp")
		return apierrors.NewBadRequest(prefix + text)
	}
	return nil
}

// operation is a step of a JSON patch (RFC 6902): it says which fields are known.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

func (p *patch) readOperations(c *call) error {
	if c.fieldValidation != metav1.FieldValidationIgnore {
		if err := p.read(c, &[]operation{}, "error decoding patch: "); err != nil {
			return err
		}
		for i, problem := range p.problems {
			p.problems[i] = fmt.Errorf("json patch %w", problem)
		}
	}
	var err error
	if p.operations, err = jsonpatch.DecodePatch(p.data); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if n := len(p.operations); n > maxPatchOperations {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxPatchOperations, n))
	}
	return nil
}

// apply decodes into obj what the patch makes of old, whose JSON form with kind
// is doc.
func (p *patch) apply(c *call, old runtime.Object, doc []byte, obj runtime.Object) error {
	if p.kind == types.StrategicMergePatchType {
		return p.applyStrategic(c, old, obj)
	}
	var out []byte
	var err error
	if p.kind == types.JSONPatchType {
		if out, err = p.operations.Apply(doc); err != nil {
			return unprocessable(err)
		}
	} else if out, err = jsonpatch.MergePatch(doc, p.data); err != nil {
		if errors.Is(err, jsonpatch.ErrBadJSONPatch) {
			return apierrors.NewBadRequest(err.Error())
		}
		return plainError(err.Error())
	}
	var problems []error
	if c.fieldValidation == metav1.FieldValidationIgnore {
		err = kjson.UnmarshalCaseSensitivePreserveInts(out, obj)
	} else {
		problems, err = kjson.UnmarshalStrict(out, obj)
	}
	if err == nil {
		err = p.checkType(obj)
	}
	if err != nil {
		return invalidPatch(string(out), err)
	}
	return p.report(c, string(out), problems)
}

// checkType refuses a patch that changed what the object is.
func (p *patch) checkType(obj runtime.Object) error {
	have, err := typeOf(obj)
	if err != nil {
		return err
	}
	said := have
	complete(&have, p.gvk)
	if err := unregistered(have, p.gvk); err != nil {
		return err
	}
	return matchType(obj, said, p.gvk)
}

// applyStrategic merges as the tags of the object's Go type say.
func (p *patch) applyStrategic(c *call, old, obj runtime.Object) error {
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(old)
	if err != nil {
		return fmt.Errorf("convert %s: %w", p.gvk.Kind, err)
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(doc, runtime.DeepCopyJSON(p.strategic), obj)
	if err != nil {
		return strategicError(err)
	}
	shown := fmt.Sprintf("%+v", p.strategic)
	var problems []error
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(merged, obj, c.fieldValidation != metav1.FieldValidationIgnore)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		problems, err = strict.Errors(), nil
	}
	if err != nil {
		return invalidPatch(shown, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	return p.report(c, shown, problems)
}

// report handles the unknown and duplicate fields of the patch and of what it
// led to.
func (p *patch) report(c *call, shown string, problems []error) error {
	problems = append(slices.Clone(p.problems), problems...)
	if len(problems) == 0 {
		return nil
	}
	if c.fieldValidation == metav1.FieldValidationStrict {
		return invalidPatch(shown, runtime.NewStrictDecodingError(problems))
	}
	for _, problem := range problems {
		c.warn(problem.Error())
	}
	return nil
}

func invalidPatch(shown string, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), shown, err.Error())})
}

func strategicError(err error) error {
	switch {
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys), errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return apierrors.NewBadRequest(err.Error())
	case errors.Is(err, mergepatch.ErrNoListOfLists), errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys):
		return unprocessable(err)
	}
	return plainError(err.Error())
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}
