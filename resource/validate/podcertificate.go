package validate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of requests by pods (KEP-4317), in seconds and bytes.
const (
	leastPodLife    = 60 * 60
	mostPodLife     = 91 * 24 * 60 * 60
	mostOwnPodLife  = 24 * 60 * 60 // from the signers of Kubernetes
	largestRequest  = 10 << 10
	largestChain    = 100 << 10
	longestIdentity = 128
)

// PodCertificateRequest checks a new request by a pod.
func PodCertificateRequest(r *certificatesv1.PodCertificateRequest) field.ErrorList {
	var p problems
	at, s := field.NewPath("spec"), &r.Spec
	signerName(&p, at.Child("signerName"), s.SignerName)
	if s.UnverifiedUserAnnotations != nil {
		path := at.Child("unverifiedUserAnnotations")
		for _, key := range slices.Sorted(maps.Keys(s.UnverifiedUserAnnotations)) {
			p.add(validation.IsDomainPrefixedKey(path, strings.ToLower(key))...)
		}
		if err := apivalidation.ValidateAnnotationsSize(s.UnverifiedUserAnnotations); err != nil {
			p.add(field.TooLong(path, "", apivalidation.TotalAnnotationSizeLimitB))
		}
	}
	objectName(&p, at.Child("podName"), s.PodName)
	identity(&p, at.Child("podUID"), s.PodUID)
	objectName(&p, at.Child("serviceAccountName"), s.ServiceAccountName)
	identity(&p, at.Child("serviceAccountUID"), s.ServiceAccountUID)
	objectName(&p, at.Child("nodeName"), string(s.NodeName))
	identity(&p, at.Child("nodeUID"), s.NodeUID)
	if s.MaxExpirationSeconds == nil {
		p.required(at.Child("maxExpirationSeconds"), "must be set")
		return p.list()
	}
	most := int32(mostPodLife)
	if domain, _, _ := strings.Cut(s.SignerName, "/"); domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") {
		most = mostOwnPodLife
	}
	if life := *s.MaxExpirationSeconds; life < leastPodLife || life > most {
		p.invalid(at.Child("maxExpirationSeconds"), s.MaxExpirationSeconds, fmt.Sprintf("must be in the range [%d, %d]", leastPodLife, most))
	}
	if len(s.StubPKCS10Request) == 0 {
		p.invalid(at, field.OmitValueType{}, "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set")
		return p.list()
	}
	stubRequest(&p, at.Child("stubPKCS10Request"), s.StubPKCS10Request)
	return p.list()
}

func identity(p *problems, at *field.Path, uid types.UID) {
	if uid == "" {
		p.invalid(at, uid, "must not be empty")
	}
	if len(uid) > longestIdentity {
		p.add(field.TooLong(at, uid, longestIdentity))
	}
}

func stubRequest(p *problems, at *field.Path, der []byte) {
	if len(der) > largestRequest {
		p.add(field.TooLong(at, der, largestRequest))
		return
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		p.invalid(at, field.OmitValueType{}, "must be a valid PKCS#10 CSR")
		return
	}
	if podKey(p, at, request.PublicKey) && request.CheckSignature() != nil {
		p.invalid(at, field.OmitValueType{}, "invalid signature")
	}
}

// podKey says whether a public key is of a kind that pods may use.
func podKey(p *problems, at *field.Path, key crypto.PublicKey) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return true
	case *ecdsa.PublicKey:
		if slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, key.Curve) {
			return true
		}
		p.invalid(at, "curve "+key.Curve.Params().Name, "elliptic public keys must use curve P256, P384, or P521")
	case *rsa.PublicKey:
		bits := key.Size() * 8
		if bits == 3072 || bits == 4096 {
			return true
		}
		p.invalid(at, fmt.Sprintf("%d-bit modulus", bits), "RSA keys must have modulus size 3072 or 4096")
	default:
		p.invalid(at, field.OmitValueType{}, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")
	}
	return false
}
