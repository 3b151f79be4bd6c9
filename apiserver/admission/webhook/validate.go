package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/admission/matching"
	"github.com/skiff-sh/skiff/view"
)

// Validate asks every validating webhook that the request concerns, all at the
// same time. Of several refusals the one of the first webhook counts.
func (w *Webhooks) Validate(ctx context.Context, v *view.View, a *admission.Attributes) error {
	all := w.validating.in(v)
	if len(all) == 0 || !concerned(a) {
		return nil
	}
	asked, err := chosen(ctx, v, a, all)
	if err != nil || len(asked) == 0 {
		return err
	}
	if err := ended(ctx); err != nil {
		return err
	}
	var waiting sync.WaitGroup
	for i := range asked {
		waiting.Go(func() { asked[i].ask(ctx, a) })
	}
	waiting.Wait()
	var first error
	for i := range asked {
		if bug := asked[i].bug; bug != nil {
			panic(bug)
		}
		if err := asked[i].verdict(a, i); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// question is one webhook that is asked.
type question struct {
	hook   *hook
	target *matching.Target
	answer *admissionv1.AdmissionResponse
	err    error
	bug    any // what asking panicked with
}

// ask fills in the answer. A bug in it is kept: where it is, it would end the
// server, and not only this request.
func (q *question) ask(ctx context.Context, a *admission.Attributes) {
	defer func() { q.bug = recover() }()
	q.answer, q.err = q.hook.ask(ctx, a, q.target, false)
}

func chosen(ctx context.Context, v *view.View, a *admission.Attributes, all []*hook) ([]question, error) {
	var asked []question
	for _, h := range all {
		t, err := h.match(ctx, v, a)
		if err != nil {
			return nil, err
		}
		if t != nil {
			asked = append(asked, question{hook: h, target: t})
		}
	}
	return asked, nil
}

// verdict is what the answer means for the request.
func (q *question) verdict(a *admission.Attributes, position int) error {
	var failure *callError
	switch {
	case errors.As(q.err, &failure) && q.hook.failsOpen():
		a.Audit(fmt.Sprintf("failed-open.validating.webhook.admission.k8s.io/round_0_index_%d", position), q.hook.spec.Name)
		return nil
	case failure != nil:
		return apierrors.NewInternalError(failure)
	case q.err != nil:
		return q.err
	}
	q.hook.note(a, q.answer)
	if !q.answer.Allowed {
		return denied(q.hook.spec.Name, q.answer.Result)
	}
	return nil
}
