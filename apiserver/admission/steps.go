package admission

import (
	"github.com/skiff-sh/skiff/view"
)

// Config is what the steps stand on.
type Config struct {
	View func() *view.View
	// Suffix returns random characters that make a name unique.
	Suffix func() string
}

// New returns the chain of the steps that are on by default, in upstream's
// order (pkg/kubeapiserver/options/plugins.go).
func New(c Config) *Chain {
	return &Chain{view: c.View, steps: []Step{
		namespaceLifecycle(),
		limitRanger(),
		serviceAccount(c.Suffix),
		// NodeRestriction
		taintNodesByCondition(),
		podSecurity(),
		priority(),
		defaultTolerationSeconds(),
		defaultStorageClass(),
		// StorageObjectInUseProtection
		// PersistentVolumeClaimResize
		// RuntimeClass
		// CertificateApproval
		// CertificateSigning
		// CertificateSubjectRestriction
		// DefaultIngressClass
		// MutatingAdmissionPolicy
		// MutatingAdmissionWebhook
		// ValidatingAdmissionPolicy
		// ValidatingAdmissionWebhook
		// ResourceQuota
	}}
}
