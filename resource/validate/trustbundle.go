package validate

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClusterTrustBundle checks a bundle. Its signer stays the same, and starts its
// name.
func ClusterTrustBundle(b, old *certificatesv1.ClusterTrustBundle) field.ErrorList {
	var p problems
	signer := field.NewPath("spec", "signerName")
	p.invalids(field.NewPath("metadata", "name"), b.Name, bundleName(b.Name, b.Spec.SignerName))
	if b.Spec.SignerName != "" {
		signerName(&p, signer, b.Spec.SignerName)
	}
	if old == nil || b.Spec.TrustBundle != old.Spec.TrustBundle {
		trustAnchors(&p, field.NewPath("spec", "trustBundle"), b.Spec.TrustBundle)
	}
	if old != nil {
		p.add(Immutable(signer, b.Spec.SignerName, old.Spec.SignerName)...)
	}
	return p.list()
}

func bundleName(name, signer string) []string {
	if signer == "" {
		if strings.Contains(name, ":") {
			return []string{"ClusterTrustBundle without signer name must not have \":\" in its name"}
		}
		return apivalidation.NameIsDNSSubdomain(name, false)
	}
	prefix := strings.ReplaceAll(signer, "/", ":") + ":"
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return []string{fmt.Sprintf("ClusterTrustBundle for signerName %s must be named with prefix %s", signer, prefix)}
	}
	return apivalidation.NameIsDNSSubdomain(rest, false)
}

const largestBundle = 1 << 20 // bytes

// trustAnchors checks that a bundle is certificates of authorities, each once.
// Their content is not shown.
func trustAnchors(p *problems, at *field.Path, bundle string) {
	if len(bundle) > largestBundle {
		p.add(field.TooLong(at, "", largestBundle))
		return
	}
	bad := func(format string, args ...any) { p.invalid(at, "<value omitted>", fmt.Sprintf(format, args...)) }
	before, places := len(*p), map[string][]int{}
	rest := []byte(bundle)
	for i := 0; ; i++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if problem := anchorProblem(block); problem != "" {
			bad("entry %d %s", i, problem)
			continue
		}
		places[string(block.Bytes)] = append(places[string(block.Bytes)], i)
	}
	if len(*p) > before {
		return
	}
	if len(places) == 0 {
		bad("at least one trust anchor must be provided")
	}
	for _, der := range slices.Sorted(maps.Keys(places)) {
		if at := places[der]; len(at) > 1 {
			bad("duplicate trust anchor (indices %v)", at)
		}
	}
}

func anchorProblem(block *pem.Block) string {
	if block.Type != "CERTIFICATE" {
		return "has bad block type: " + block.Type
	}
	if len(block.Headers) > 0 {
		return "has PEM block headers"
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "does not parse as X.509"
	case !certificate.IsCA:
		return "does not have the CA bit set"
	case !certificate.BasicConstraintsValid:
		return "has invalid basic constraints"
	}
	return ""
}
