package resource

import (
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// CertificateSigningRequests is the kind CertificateSigningRequest.
var CertificateSigningRequests = Define(Kind[*certificatesv1.CertificateSigningRequest]{
	Group: "certificates.k8s.io", Version: "v1", Kind: "CertificateSigningRequest", Resource: "certificatesigningrequests",
	Recheck: AsNewAndUpdate,
	Short:   []string{"csr"},
	Name:    func(string, bool) []string { return nil }, // any name will do
	Prepare: prepareSigningRequest,
	Validate: func(req Request, c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
		return validate.CertificateSigningRequest(c, old, req.Subresource)
	},
	Status: func(to, from *certificatesv1.CertificateSigningRequest) { to.Status = from.Status },
	Reset: map[string][]string{
		"": {"spec", "status"}, "status": {"spec", "status.conditions"}, "approval": {"spec", "status.certificate"},
	},
	Parts: []Part[*certificatesv1.CertificateSigningRequest]{{
		Name: "approval",
		Copy: func(to, from *certificatesv1.CertificateSigningRequest) {
			to.Status.Conditions = from.Status.Conditions
		},
	}},
	Columns:        signingRequestColumns,
	NotByNamespace: true,
	Fields: map[string]func(*certificatesv1.CertificateSigningRequest) string{
		"spec.signerName": func(c *certificatesv1.CertificateSigningRequest) string { return c.Spec.SignerName },
	},
})

// prepareSigningRequest writes down who asks; nobody asks for another. What is
// asked for never changes after that.
func prepareSigningRequest(req Request, c, old *certificatesv1.CertificateSigningRequest) {
	if old == nil {
		c.Spec.Username, c.Spec.UID, c.Spec.Groups, c.Spec.Extra = req.User.Name, req.User.UID, req.User.Groups, nil
		for key, values := range req.User.Extra {
			if c.Spec.Extra == nil {
				c.Spec.Extra = map[string]certificatesv1.ExtraValue{}
			}
			c.Spec.Extra[key] = values
		}
		c.Status = certificatesv1.CertificateSigningRequestStatus{}
		return
	}
	c.Spec = old.Spec
	switch req.Subresource {
	case "":
		c.Status = old.Status
	case "status":
		keepConditions(c, old, certificatesv1.CertificateApproved)
		keepConditions(c, old, certificatesv1.CertificateDenied)
		stampConditions(req.Now, c, old)
	case "approval":
		c.Status.Certificate = old.Status.Certificate
		stampConditions(req.Now, c, old)
	}
}

// keepConditions makes the conditions of a type those that the old request has,
// unless there are more or fewer, which is refused later.
func keepConditions(c, old *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) {
	places := func(list []certificatesv1.CertificateSigningRequestCondition) []int {
		var at []int
		for i, condition := range list {
			if condition.Type == kind {
				at = append(at, i)
			}
		}
		return at
	}
	was, now := places(old.Status.Conditions), places(c.Status.Conditions)
	if len(was) != len(now) {
		return
	}
	for i := range was {
		c.Status.Conditions[now[i]] = old.Status.Conditions[was[i]]
	}
}

// stampConditions sets the times that the writer left out.
func stampConditions(now metav1.Time, c, old *certificatesv1.CertificateSigningRequest) {
	for i := range c.Status.Conditions {
		condition := &c.Status.Conditions[i]
		if condition.LastUpdateTime.IsZero() {
			condition.LastUpdateTime = now
		}
		if !condition.LastTransitionTime.IsZero() {
			continue
		}
		condition.LastTransitionTime = now
		same := slices.IndexFunc(old.Status.Conditions, func(was certificatesv1.CertificateSigningRequestCondition) bool {
			return was.Type == condition.Type && was.Status == condition.Status && !was.LastTransitionTime.IsZero()
		})
		if same >= 0 {
			condition.LastTransitionTime = old.Status.Conditions[same].LastTransitionTime
		}
	}
}

var signingRequestColumns = []Column[*certificatesv1.CertificateSigningRequest]{
	nameColumn[*certificatesv1.CertificateSigningRequest](),
	ageColumn[*certificatesv1.CertificateSigningRequest](),
	column("SignerName", certificatesv1beta1.CertificateSigningRequestSpec{}.SwaggerDoc()["signerName"],
		func(c *certificatesv1.CertificateSigningRequest) any { return orNone(c.Spec.SignerName) }),
	column("Requestor", certificatesv1beta1.CertificateSigningRequestSpec{}.SwaggerDoc()["request"],
		func(c *certificatesv1.CertificateSigningRequest) any { return c.Spec.Username }),
	column("RequestedDuration", certificatesv1beta1.CertificateSigningRequestSpec{}.SwaggerDoc()["expirationSeconds"],
		func(c *certificatesv1.CertificateSigningRequest) any {
			if c.Spec.ExpirationSeconds == nil {
				return "<none>"
			}
			return duration.HumanDuration(time.Duration(*c.Spec.ExpirationSeconds) * time.Second)
		}),
	column("Condition", certificatesv1beta1.CertificateSigningRequestStatus{}.SwaggerDoc()["conditions"],
		func(c *certificatesv1.CertificateSigningRequest) any { return signingRequestState(&c.Status) }),
}

func signingRequestState(s *certificatesv1.CertificateSigningRequestStatus) string {
	has := func(kind certificatesv1.RequestConditionType) bool {
		return slices.ContainsFunc(s.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == kind })
	}
	state := "Pending"
	switch {
	case has(certificatesv1.CertificateDenied):
		state = "Denied"
	case has(certificatesv1.CertificateApproved):
		state = "Approved"
	}
	if has(certificatesv1.CertificateFailed) {
		state += ",Failed"
	}
	if len(s.Certificate) > 0 {
		state += ",Issued"
	}
	return state
}
