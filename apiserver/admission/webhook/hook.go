package webhook

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/admission/matching"
	"github.com/skiff-sh/skiff/expression"
	"github.com/skiff-sh/skiff/view"
)

// hook is one webhook, compiled.
type hook struct {
	entry      *view.Entry // its configuration
	id         string      // unique among all hooks, and the same after a change of the configuration
	spec       *admissionregistrationv1.MutatingWebhook
	criteria   *matching.Criteria
	conditions *expression.Conditions
	allowed    matching.Allowed
	client     *client
}

func newHook(e *view.Entry, position int, spec *admissionregistrationv1.MutatingWebhook, c *client, allowed matching.Allowed) *hook {
	return &hook{
		entry: e, id: fmt.Sprintf("%s/%s/%d", e.Key.Name, spec.Name, position), spec: spec, client: c, allowed: allowed,
		criteria: matching.Webhook(spec), conditions: expression.CompileConditions(spec.MatchConditions, false),
	}
}

// match returns how the webhook sees the request, or nil where it does not
// concern the webhook.
func (h *hook) match(ctx context.Context, v *view.View, a *admission.Attributes) (*matching.Target, error) {
	t, err := h.criteria.Match(v, a)
	if err != nil || t == nil || h.conditions.None() {
		return t, err
	}
	matches, err := h.conditions.Match(ctx, matching.Input(a, &matching.Target{Resource: a.Resource, Kind: t.Kind}, h.allowed))
	switch {
	case err != nil && !h.failsOpen():
		return nil, apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, err)
	case err != nil || !matches:
		return nil, nil
	}
	return t, nil
}
