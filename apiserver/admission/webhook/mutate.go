package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/admission/matching"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Mutate asks the mutating webhooks that the request concerns, one after the
// other, and changes the object as they wish. In the second round only those are
// asked that wish it, and only if the object changed after them.
func (w *Webhooks) Mutate(ctx context.Context, v *view.View, a *admission.Attributes) error {
	all := w.mutating.in(v)
	if len(all) == 0 || !concerned(a) {
		return nil
	}
	rounds := &a.Rounds
	rounds.Begin(a.Object)
	defer func() { rounds.End(a.Object) }()
	for i, h := range all {
		if !rounds.Asks(h.id) {
			continue
		}
		t, err := h.match(ctx, v, a)
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		changed, err := h.mutate(ctx, a, t, i)
		if changed {
			rounds.Changed()
		}
		if p := h.spec.ReinvocationPolicy; p != nil && *p == admissionregistrationv1.IfNeededReinvocationPolicy {
			rounds.Asked(h.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mutate asks one webhook. It tells whether the object has changed.
func (h *hook) mutate(ctx context.Context, a *admission.Attributes, t *matching.Target, position int) (bool, error) {
	round := 0
	if a.Rounds.Second {
		round = 1
	}
	at := fmt.Sprintf("round_%d_index_%d", round, position)
	answer, err := h.ask(ctx, a, t, true)
	changed := false
	if err == nil {
		h.note(a, answer)
		if !answer.Allowed {
			err = denied(h.spec.Name, answer.Result)
		} else {
			changed, err = h.patch(a, t, answer, at)
		}
	}
	h.audit(a, "mutation.webhook.admission.k8s.io/"+at, map[string]any{"configuration": h.entry.Key.Name, "webhook": h.spec.Name, "mutated": changed})
	var failure *callError
	switch {
	case !errors.As(err, &failure):
		return changed, err
	case h.failsOpen():
		a.Audit("failed-open.mutation.webhook.admission.k8s.io/"+at, h.spec.Name)
		return false, ended(ctx)
	}
	return false, apierrors.NewInternalError(failure)
}

func (h *hook) audit(a *admission.Attributes, key string, value map[string]any) {
	if data, err := json.Marshal(value); err == nil { // maps of plain values encode
		a.Audit(key, string(data))
	}
}

// patch applies the patch of an answer.
func (h *hook) patch(a *admission.Attributes, t *matching.Target, answer *admissionv1.AdmissionResponse, at string) (bool, error) {
	if len(answer.Patch) == 0 {
		return false, nil
	}
	patch, err := jsonpatch.DecodePatch(answer.Patch)
	switch {
	case err != nil:
		return false, h.failed("received undecodable patch in webhook response: %w", err)
	case len(patch) == 0:
		return false, nil
	case a.Object == nil:
		return false, apierrors.NewInternalError(fmt.Errorf("admission webhook %q attempted to modify the object, which is not supported for this operation", h.spec.Name))
	case *answer.PatchType != admissionv1.PatchTypeJSONPatch:
		return false, h.failed("%w", fmt.Errorf("unsupported patch type %q", *answer.PatchType))
	}
	doc, err := encode(a, t.Kind, a.Object)
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	if doc, err = patch.Apply(doc); err != nil {
		return false, apierrors.NewInternalError(err)
	}
	changed, err := replace(a, t.Kind, doc)
	if err != nil {
		return false, apierrors.NewInternalError(err)
	}
	h.audit(a, "patch.webhook.admission.k8s.io/"+at, map[string]any{
		"configuration": h.entry.Key.Name, "webhook": h.spec.Name, "patch": patch, "patchType": admissionv1.PatchTypeJSONPatch,
	})
	return changed, nil
}

// replace makes the request's object what a document says, with defaults. It
// tells whether the document says anything new.
func replace(a *admission.Attributes, kind schema.GroupVersionKind, doc []byte) (bool, error) {
	version, typed := matching.VersionOf(a, kind), a.Object.GetObjectKind().GroupVersionKind()
	var next runtime.Object
	if version != nil {
		next = version.New()
	} else {
		next = reflect.New(reflect.TypeOf(a.Object).Elem()).Interface().(runtime.Object)
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(doc, next); err != nil {
		return false, err
	}
	if have := next.GetObjectKind().GroupVersionKind(); have != kind {
		return false, fmt.Errorf("the patch makes a %s of a %s", have, kind)
	}
	next.GetObjectKind().SetGroupVersionKind(typed)
	changed := !apiequality.Semantic.DeepEqual(matching.Versioned(a, kind, a.Object), next)
	if version != nil {
		next = version.From(next.(resource.Object))
		if a.Info.Default != nil {
			a.Info.Default(next.(resource.Object))
		}
	}
	reflect.ValueOf(a.Object).Elem().Set(reflect.ValueOf(next).Elem())
	return changed, nil
}
