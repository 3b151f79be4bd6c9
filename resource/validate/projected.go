package validate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// projection checks the sources of one projected volume, whose files must not
// collide.
type projection struct {
	*problems
	at    *field.Path // of the volume
	paths sets.Set[string]
}

func projected(p *problems, at *field.Path, v *corev1.ProjectedVolumeSource) {
	fileMode(p, at.Child("defaultMode"), v.DefaultMode)
	userID(p, at.Child("defaultUser"), v.DefaultUser)
	c := &projection{problems: p, at: at, paths: sets.New[string]()}
	for i := range v.Sources {
		c.source(at.Child("sources").Index(i), &v.Sources[i])
	}
}

// once reports a path that an earlier file has; value names the culprit.
func (c *projection) once(path string, value any) {
	if c.paths.Has(path) {
		c.invalid(c.at, value, "conflicting duplicate paths")
	}
	c.paths.Insert(path)
}

func (c *projection) items(at *field.Path, name string, items []corev1.KeyToPath) {
	c.need(at.Child("name"), name)
	keysToPaths(c.problems, at.Child("items"), items)
	for _, item := range items {
		if item.Path != "" {
			c.once(item.Path, name)
		}
	}
}

func (c *projection) source(at *field.Path, s *corev1.VolumeProjection) {
	count := 0
	if s.Secret != nil {
		count++
		c.items(at.Child("secret"), s.Secret.Name, s.Secret.Items)
	}
	if s.ConfigMap != nil {
		count++
		c.items(at.Child("configMap"), s.ConfigMap.Name, s.ConfigMap.Items)
	}
	if s.DownwardAPI != nil {
		count++
		for i := range s.DownwardAPI.Items {
			f := &s.DownwardAPI.Items[i]
			downwardFile(c.problems, at.Child("downwardAPI"), f)
			if f.Path != "" {
				c.once(f.Path, f.Path)
			}
		}
	}
	if s.ServiceAccountToken != nil {
		count++
		c.token(at.Child("serviceAccountToken"), s.ServiceAccountToken)
	}
	if s.ClusterTrustBundle != nil {
		count++
		c.trustBundle(at.Child("clusterTrustBundle"), s.ClusterTrustBundle)
	}
	if s.PodCertificate != nil {
		count++
		c.certificate(at.Child("podCertificate"), s.PodCertificate)
	}
	if count > 1 {
		c.forbidden(at, "may not specify more than 1 volume type per source")
	}
}

func (c *projection) token(at *field.Path, t *corev1.ServiceAccountTokenProjection) {
	switch seconds := t.ExpirationSeconds; {
	case seconds == nil:
		c.required(at.Child("expirationSeconds"), "")
	case *seconds < 10*60:
		c.invalid(at.Child("expirationSeconds"), *seconds, "may not specify a duration less than 10 minutes")
	case *seconds > 1<<32:
		c.invalid(at.Child("expirationSeconds"), *seconds, "may not specify a duration larger than 2^32 seconds")
	}
	if c.need(c.at.Child("path"), t.Path) {
		localPath(c.problems, c.at.Child("path"), t.Path)
	}
	userID(c.problems, at.Child("user"), t.User)
}

func (c *projection) trustBundle(at *field.Path, b *corev1.ClusterTrustBundleProjection) {
	switch {
	case b.Name != nil && b.SignerName != nil:
		c.invalid(at, b, "only one of name and signerName may be used")
	case b.Name != nil:
		if *b.Name == "" {
			c.required(at.Child("name"), "must be a valid object name")
		}
		for _, m := range trustBundleName(*b.Name) {
			c.invalid(at.Child("name"), *b.Name, fmt.Sprintf("not a valid clustertrustbundlename: %v", m))
		}
		if b.LabelSelector != nil {
			c.invalid(at.Child("labelSelector"), b.LabelSelector, "labelSelector must be unset if name is specified")
		}
	case b.SignerName != nil:
		if *b.SignerName == "" {
			c.required(at.Child("signerName"), "must be a valid signer name")
		}
		signerName(c.problems, at.Child("signerName"), *b.SignerName)
		c.add(LabelSelector(at.Child("labelSelector"), b.LabelSelector)...)
	default:
		c.required(at, "either name or signerName must be specified")
	}
	c.need(at.Child("path"), b.Path)
	userID(c.problems, at.Child("user"), b.User)
	localPath(c.problems, at.Child("path"), b.Path)
	c.once(b.Path, b.Path)
}

// trustBundleName checks "name" or "signer.domain:signer-name:name".
func trustBundleName(name string) []string {
	if i := strings.LastIndex(name, ":"); i >= 0 {
		name = name[i+1:]
	}
	return apivalidation.NameIsDNSSubdomain(name, false)
}

func (c *projection) certificate(at *field.Path, s *corev1.PodCertificateProjection) {
	signerName(c.problems, at.Child("signerName"), s.SignerName)
	userID(c.problems, at.Child("user"), s.User)
	keyTypes := []string{"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"}
	if !sets.New(keyTypes...).Has(s.KeyType) {
		c.add(field.NotSupported(at.Child("keyType"), s.KeyType, keyTypes))
	}
	if s.MaxExpirationSeconds != nil {
		most := int32(91 * 24 * 60 * 60)
		if domain, _, _ := strings.Cut(s.SignerName, "/"); domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") {
			most = 24 * 60 * 60
		}
		if *s.MaxExpirationSeconds < 3600 {
			c.invalid(at.Child("maxExpirationSeconds"), *s.MaxExpirationSeconds, "if provided, maxExpirationSeconds must be >= 3600")
		}
		if *s.MaxExpirationSeconds > most {
			c.invalid(at.Child("maxExpirationSeconds"), *s.MaxExpirationSeconds, fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", most))
		}
	}
	any := false
	for _, f := range []struct{ name, path string }{
		{"credentialBundlePath", s.CredentialBundlePath}, {"keyPath", s.KeyPath}, {"certificateChainPath", s.CertificateChainPath},
	} {
		if f.path != "" {
			any = true
			localPath(c.problems, at.Child(f.name), f.path)
			c.once(f.path, f.path)
		}
	}
	if !any {
		c.required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")
	}
}

// signerName checks the name of a signer of certificates: domain/path.
func signerName(p *problems, at *field.Path, name string) {
	if !p.need(at, name) {
		return
	}
	domain, path, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(path, "/") {
		p.invalid(at, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
		return
	}
	labels := strings.Split(domain, ".")
	signerSegment(p, at, domain, labels, validation.IsDNS1123Label)
	if len(labels) < 2 {
		p.invalid(at, domain, "should be a domain with at least two segments separated by dots")
	}
	signerSegment(p, at, path, strings.Split(path, "."), validation.IsDNS1123Subdomain)
}

func signerSegment(p *problems, at *field.Path, segment string, labels []string, check func(string) []string) {
	for _, label := range labels {
		if messages := check(label); len(messages) > 0 {
			for _, m := range messages {
				p.invalid(at, segment, fmt.Sprintf("validating label %q: %s", label, m))
			}
			return
		}
	}
}
