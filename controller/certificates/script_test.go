package certificates_test

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/certificates"
	"github.com/skiff-sh/skiff/controller/controllertest"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// In the scripts nodes may renew their own, jane may ask for any node once
// there is a binding, and a certificate is what it would say.
func TestScripts(t *testing.T) {
	controllertest.Script(t, "testdata/*.txt", func() []controller.Controller {
		return []controller.Controller{
			certificates.Controller(certificates.Config{
				Authority: &x509.Certificate{NotAfter: controllertest.Start.Add(100 * 24 * time.Hour)},
				May: func(v *view.View, by *certificatesv1.CertificateSigningRequestSpec, subresource string) bool {
					_, bound := view.Get(v, resource.ClusterRoleBindings, "", "nodeclient")
					return by.Username == "system:node:n1" && subresource == "selfnodeclient" ||
						by.Username == "jane" && subresource == "nodeclient" && bound
				},
				Sign: func(r *x509.CertificateRequest, t pki.Terms) ([]byte, error) {
					return fmt.Appendf(nil, "%s from %s to %s: usage %d, purposes %v", r.Subject,
						t.NotBefore.UTC().Format(time.RFC3339), t.NotAfter.UTC().Format(time.RFC3339), t.Usage, t.Purposes), nil
				},
			}),
			certificates.PodRequests(),
			certificates.Publisher([]byte("authority")),
		}
	})
}
