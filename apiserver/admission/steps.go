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
	// EvictAfter is how long, in seconds, pods that do not say stay on a node that is
	// not ready or not reachable; 300 if 0, as upstream.
	EvictAfter int64
	// Suffix returns random characters that make a name unique.
	Suffix func() string
	// MaySigner says what a user may do to a signer of certificates.
	MaySigner MaySigner
	// Permits says whether a user may do something.
	Permits func(authz.Attributes) bool
	// MutatingWebhooks and ValidatingWebhooks ask those that the cluster has.
	MutatingWebhooks, ValidatingWebhooks Check
	// Observe is told how long each step took, and with no name all together; nil
	// if nobody wants to know.
	Observe func(step, half, operation string, rejected bool, took time.Duration)
}

// MaySigner says whether a user may do something to a signer of certificates,
// or to all signers of a domain: "example.com/*".
type MaySigner func(user authn.User, verb, signer string) bool

// New returns the chain of the steps that are on by default, in upstream's
// order (pkg/kubeapiserver/options/plugins.go).
func New(c Config) *Chain {
	if c.Observe == nil {
		c.Observe = func(string, string, string, bool, time.Duration) {}
	}
	return &Chain{view: c.View, observe: c.Observe, steps: []Step{
		namespaceLifecycle(),
		limitRanger(),
		serviceAccount(c.Suffix),
		nodeRestriction(c.Permits),
		taintNodesByCondition(),
		podSecurity(),
		priority(),
		defaultTolerationSeconds(c.EvictAfter),
		defaultStorageClass(),
		storageObjectInUseProtection(),
		persistentVolumeClaimResize(),
		runtimeClass(),
		certificateApproval(c.MaySigner),
		certificateSigning(c.MaySigner),
		podCertificateSigning(c.MaySigner),
		clusterTrustBundleAttest(c.MaySigner),
		certificateSubjectRestriction(),
		defaultIngressClass(),
		// MutatingAdmissionPolicy
		{Name: "MutatingAdmissionWebhook", On: []Match{{Operations: all}}, Mutate: c.MutatingWebhooks},
		// ValidatingAdmissionPolicy
		{Name: "ValidatingAdmissionWebhook", On: []Match{{Operations: all}}, Validate: c.ValidatingWebhooks},
		resourceQuota(c.Kinds, c.View, c.Now),
	}}
}
