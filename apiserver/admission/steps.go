package admission

import (
	"time"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Config is what the steps stand on.
type Config struct {
	View func() *view.View
	// Kinds are those that quotas count.
	Kinds []*resource.Info
	Now   func() time.Time
	// Suffix returns random characters that make a name unique.
	Suffix func() string
	// MaySigner says what a user may do to a signer of certificates.
	MaySigner MaySigner
	// Permits says whether a user may do something.
	Permits func(authz.Attributes) bool
}

// MaySigner says whether a user may do something to a signer of certificates,
// or to all signers of a domain: "example.com/*".
type MaySigner func(user authn.User, verb, signer string) bool

// New returns the chain of the steps that are on by default, in upstream's
// order (pkg/kubeapiserver/options/plugins.go).
func New(c Config) *Chain {
	return &Chain{view: c.View, steps: []Step{
		namespaceLifecycle(),
		limitRanger(),
		serviceAccount(c.Suffix),
		nodeRestriction(c.Permits),
		taintNodesByCondition(),
		podSecurity(),
		priority(),
		defaultTolerationSeconds(),
		defaultStorageClass(),
		storageObjectInUseProtection(),
		// PersistentVolumeClaimResize
		runtimeClass(),
		certificateApproval(c.MaySigner),
		certificateSigning(c.MaySigner),
		clusterTrustBundleAttest(c.MaySigner),
		certificateSubjectRestriction(),
		defaultIngressClass(),
		// MutatingAdmissionPolicy
		// MutatingAdmissionWebhook
		// ValidatingAdmissionPolicy
		// ValidatingAdmissionWebhook
		resourceQuota(c.Kinds, c.View, c.Now),
	}}
}
