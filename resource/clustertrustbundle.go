package resource

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ClusterTrustBundles is the kind ClusterTrustBundle.
var ClusterTrustBundles = Define(Kind[*certificatesv1.ClusterTrustBundle]{
	Group: "certificates.k8s.io", Version: "v1", Kind: "ClusterTrustBundle", Resource: "clustertrustbundles",
	StoredAs:    "v1beta1",
	Recheck:     AsNewAndUpdate,
	Conditional: true,
	Name:        func(string, bool) []string { return nil }, // depends on the signer: Validate checks it
	Validate: func(_ Request, b, old *certificatesv1.ClusterTrustBundle) field.ErrorList {
		return validate.ClusterTrustBundle(b, old)
	},
	Columns: []Column[*certificatesv1.ClusterTrustBundle]{
		nameColumn[*certificatesv1.ClusterTrustBundle](),
		column("SignerName", certificatesv1.ClusterTrustBundleSpec{}.SwaggerDoc()["signerName"],
			func(b *certificatesv1.ClusterTrustBundle) any { return orNone(b.Spec.SignerName) }),
	},
	NotByNamespace: true,
	Fields: map[string]func(*certificatesv1.ClusterTrustBundle) string{
		"spec.signerName": func(b *certificatesv1.ClusterTrustBundle) string { return b.Spec.SignerName },
	},
})
