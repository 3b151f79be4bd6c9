package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/admission/matching"
)

// callError says that a webhook was not reached, or answered nonsense. The
// failure policy decides what that means.
type callError struct {
	hook string
	err  error
}

func (e *callError) Error() string {
	return fmt.Sprintf("failed calling webhook %q: %v", e.hook, e.err)
}

func (e *callError) Unwrap() error { return e.err }

// ask sends a request to the webhook and returns its checked answer, which may be
// a refusal.
func (h *hook) ask(ctx context.Context, a *admission.Attributes, t *matching.Target, mutating bool) (*admissionv1.AdmissionResponse, error) {
	if err := h.checkDryRun(a); err != nil {
		return nil, err
	}
	version, err := h.reviewVersion()
	if err != nil {
		return nil, h.failed("could not create admission objects: %w", err)
	}
	request, err := newRequest(a, t)
	if err != nil {
		return nil, h.failed("could not create admission objects: %w", err)
	}
	answer, err := h.send(ctx, version, request)
	if err != nil {
		return nil, err
	}
	response, err := readAnswer(request.UID, mutating, answer)
	if err != nil {
		return nil, h.failed("received invalid webhook response: %w", err)
	}
	return response, nil
}

func (h *hook) failed(format string, err error) error {
	return &callError{h.spec.Name, fmt.Errorf(format, err)}
}

// checkDryRun refuses a request that shall have no effect where the webhook may
// have one.
func (h *hook) checkDryRun(a *admission.Attributes) error {
	if !a.DryRun {
		return nil
	}
	if h.spec.SideEffects == nil {
		return &callError{h.spec.Name, errors.New("Webhook SideEffects is nil")} //nolint:staticcheck // upstream's text
	}
	switch *h.spec.SideEffects {
	case admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.SideEffectClassNoneOnDryRun:
		return nil
	}
	return apierrors.NewBadRequest(fmt.Sprintf("admission webhook %q does not support dry run", h.spec.Name))
}

func (h *hook) send(ctx context.Context, version schema.GroupVersion, request *admissionv1.AdmissionRequest) (runtime.Object, error) {
	client, err := h.client.get()
	if err != nil {
		return nil, h.failed("could not get REST client: %w", err)
	}
	body, err := json.Marshal(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: version.String(), Kind: reviewKind}, Request: request,
	})
	if err != nil {
		return nil, h.failed("could not create admission objects: %w", err)
	}
	if s := h.spec.TimeoutSeconds; s != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*s)*time.Second)
		defer cancel()
	}
	call := client.Post().SetHeader("Content-Type", runtime.ContentTypeJSON).Body(body)
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); left > 0 { // told to the webhook, in whole seconds
			call.Timeout((left + time.Second - 1).Truncate(time.Second))
		}
	}
	var answer runtime.Object = &admissionv1.AdmissionReview{}
	if version == admissionv1beta1.SchemeGroupVersion {
		answer = &admissionv1beta1.AdmissionReview{}
	}
	if err := call.Do(ctx).Into(answer); err != nil {
		return nil, h.failed("failed to call webhook: %w", err)
	}
	return answer, nil
}

// failsOpen tells whether the request goes on though the webhook failed.
func (h *hook) failsOpen() bool {
	return h.spec.FailurePolicy != nil && *h.spec.FailurePolicy == admissionregistrationv1.Ignore
}

// ended is the answer to a request that took too long.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return apierrors.NewTimeoutError("request did not complete within requested timeout", 0)
}

// note hands on what the webhook wants to be told to the user and recorded.
func (h *hook) note(a *admission.Attributes, r *admissionv1.AdmissionResponse) {
	for key, value := range r.AuditAnnotations {
		a.Audit(h.spec.Name+"/"+key, value)
	}
	a.Warn(r.Warnings...)
}
