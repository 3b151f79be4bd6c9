package webhook

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/apiserver/admission"
	"github.com/skiff-sh/skiff/apiserver/admission/matching"
	"github.com/skiff-sh/skiff/resource"
)

// reviewKind is the name of requests and answers in every version.
const reviewKind = "AdmissionReview"

// reviewVersion is the first version that a webhook accepts and that we speak.
func (h *hook) reviewVersion() (schema.GroupVersion, error) {
	for _, version := range h.spec.AdmissionReviewVersions {
		switch version {
		case admissionv1.SchemeGroupVersion.Version:
			return admissionv1.SchemeGroupVersion, nil
		case admissionv1beta1.SchemeGroupVersion.Version:
			return admissionv1beta1.SchemeGroupVersion, nil
		}
	}
	return schema.GroupVersion{}, errors.New("webhook does not accept known AdmissionReview versions (v1, v1beta1)")
}

// encode returns the JSON of an object in the version of the kind, with kind and
// apiVersion; null where there is none.
func encode(a *admission.Attributes, kind schema.GroupVersionKind, obj runtime.Object) (json.RawMessage, error) {
	if obj == nil {
		return json.RawMessage("null"), nil
	}
	data, err := json.Marshal(matching.Versioned(a, kind, obj))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind.Kind, err)
	}
	if obj.GetObjectKind().GroupVersionKind().Empty() {
		data = resource.WithType(kind, data)
	}
	return data, nil
}

// newRequest is what a webhook is sent. The two versions look the same.
func newRequest(a *admission.Attributes, t *matching.Target) (*admissionv1.AdmissionRequest, error) {
	object, err := encode(a, t.Kind, a.Object)
	if err != nil {
		return nil, err
	}
	old, err := encode(a, t.Kind, a.Old)
	if err != nil {
		return nil, err
	}
	request := matching.Request(a, t)
	request.UID = types.UID(uuid.NewString())
	request.Object, request.OldObject = runtime.RawExtension{Raw: object}, runtime.RawExtension{Raw: old}
	return request, nil
}

// readAnswer checks the answer to a request. v1beta1 promises less.
func readAnswer(uid types.UID, mutating bool, answer runtime.Object) (*admissionv1.AdmissionResponse, error) {
	if old, ok := answer.(*admissionv1beta1.AdmissionReview); ok {
		return readOldAnswer(mutating, old)
	}
	review := answer.(*admissionv1.AdmissionReview)
	r, want := review.Response, admissionv1.SchemeGroupVersion.WithKind(reviewKind)
	switch {
	case r == nil:
		return nil, errors.New("webhook response was absent")
	case r.UID != uid:
		return nil, fmt.Errorf("expected response.uid=%q, got %q", uid, r.UID)
	case review.GroupVersionKind() != want:
		return nil, fmt.Errorf("expected webhook response of %v, got %v", want.String(), review.GroupVersionKind().String())
	case !mutating && len(r.Patch) > 0:
		return nil, errors.New("validating webhook may not return response.patch")
	case !mutating && r.PatchType != nil:
		return nil, errors.New("validating webhook may not return response.patchType")
	case len(r.Patch) > 0 && r.PatchType == nil:
		return nil, errors.New("webhook returned response.patch but not response.patchType")
	case len(r.Patch) == 0 && r.PatchType != nil:
		return nil, errors.New("webhook returned response.patchType but not response.patch")
	case r.PatchType != nil && *r.PatchType == "":
		return nil, fmt.Errorf("webhook returned invalid response.patchType of %q", *r.PatchType)
	}
	return r, nil
}

func readOldAnswer(mutating bool, review *admissionv1beta1.AdmissionReview) (*admissionv1.AdmissionResponse, error) {
	r := review.Response
	if r == nil {
		return nil, errors.New("webhook response was absent")
	}
	answer := &admissionv1.AdmissionResponse{Allowed: r.Allowed, Result: r.Result, AuditAnnotations: r.AuditAnnotations, Warnings: r.Warnings}
	if mutating && len(r.Patch) > 0 {
		kind := admissionv1.PatchTypeJSONPatch // the only one that ever was
		answer.Patch, answer.PatchType = r.Patch, &kind
	}
	return answer, nil
}

// denied is the refusal that a webhook asks for.
func denied(hook string, result *metav1.Status) error {
	by := fmt.Sprintf("admission webhook %q denied the request", hook)
	if result == nil {
		result = &metav1.Status{}
	}
	status := *result
	status.Code = max(status.Code, 400)
	if status.Status == "" || status.Status == metav1.StatusSuccess {
		status.Status = metav1.StatusFailure
	}
	switch {
	case status.Message != "":
		status.Message = by + ": " + status.Message
	case status.Reason != "":
		status.Message = by + ": " + string(status.Reason)
	default:
		status.Message = by + " without explanation"
	}
	return &apierrors.StatusError{ErrStatus: status}
}
