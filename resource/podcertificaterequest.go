package resource

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// PodCertificateRequests is the kind PodCertificateRequest.
var PodCertificateRequests = Define(Kind[*certificatesv1.PodCertificateRequest]{
	Group: "certificates.k8s.io", Version: "v1", Kind: "PodCertificateRequest", Resource: "podcertificaterequests", Namespaced: true,
	Conditional: true,
	Default: func(r *certificatesv1.PodCertificateRequest) {
		const day = 86400
		setIfNil(&r.Spec.MaxExpirationSeconds, day)
	},
	Prepare: func(req Request, r, old *certificatesv1.PodCertificateRequest) {
		switch {
		case old == nil:
			r.Status = certificatesv1.PodCertificateRequestStatus{}
		case req.Subresource == "status":
			metav1.ResetObjectMetaForStatus(&r.ObjectMeta, &old.ObjectMeta)
		}
	},
	Validate: func(req Request, r, old *certificatesv1.PodCertificateRequest) field.ErrorList {
		switch {
		case old == nil:
			return validate.PodCertificateRequest(r)
		case req.Subresource == "status":
			return validate.PodCertificateRequestStatus(r, old, req.Now.Time)
		}
		return validate.Immutable(field.NewPath("spec"), r.Spec, old.Spec)
	},
	Reset:  map[string][]string{"": {"status"}, "status": {"metadata", "spec"}},
	Status: func(to, from *certificatesv1.PodCertificateRequest) { to.Status = from.Status },
	Columns: []Column[*certificatesv1.PodCertificateRequest]{
		nameColumn[*certificatesv1.PodCertificateRequest](),
		column("PodName", certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()["podName"],
			func(r *certificatesv1.PodCertificateRequest) any { return r.Spec.PodName }),
		column("ServiceAccountName", certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()["serviceAccountName"],
			func(r *certificatesv1.PodCertificateRequest) any { return r.Spec.ServiceAccountName }),
		column("NodeName", certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()["nodeName"],
			func(r *certificatesv1.PodCertificateRequest) any { return string(r.Spec.NodeName) }),
		column("SignerName", certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()["signerName"],
			func(r *certificatesv1.PodCertificateRequest) any { return r.Spec.SignerName }),
		column("State", "Is the request Pending, Issued, Denied, or Failed?", func(r *certificatesv1.PodCertificateRequest) any {
			state := "Pending"
			for _, c := range r.Status.Conditions {
				switch c.Type {
				case certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied,
					certificatesv1.PodCertificateRequestConditionTypeFailed:
					state = c.Type
				}
			}
			return state
		}),
		column("UnverifiedUserAnnotations", certificatesv1.PodCertificateRequestSpec{}.SwaggerDoc()["unverifiedUserAnnotations"],
			func(r *certificatesv1.PodCertificateRequest) any {
				return labels.FormatLabels(r.Spec.UnverifiedUserAnnotations)
			}),
	},
	NotByNamespace: true,
	Fields: map[string]func(*certificatesv1.PodCertificateRequest) string{
		"spec.signerName": func(r *certificatesv1.PodCertificateRequest) string { return r.Spec.SignerName },
		"spec.podName":    func(r *certificatesv1.PodCertificateRequest) string { return r.Spec.PodName },
		"spec.nodeName":   func(r *certificatesv1.PodCertificateRequest) string { return string(r.Spec.NodeName) },
	},
})
