package volume

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/resource"
)

// trustAnchors writes the certificates of one bundle, or of all that a signer
// and labels select, each once (KEP-3257).
func trustAnchors(files map[string]File, src Sources, p *corev1.ClusterTrustBundleProjection, mode int32) error {
	bundles, err := trustBundles(src, p)
	if err != nil {
		if err := unless(p.Optional, err); err != nil {
			return err
		}
	}
	return putOwned(files, src, p.Path, anchors(bundles), mode)
}

func trustBundles(src Sources, p *corev1.ClusterTrustBundleProjection) ([]string, error) {
	var out []string
	switch {
	case p.Name != nil:
		for _, b := range src.TrustBundles(*p.Name, "") {
			out = append(out, b.Spec.TrustBundle)
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("while getting ClusterTrustBundle: %w", apierrors.NewNotFound(resource.ClusterTrustBundles.Info.GR(), *p.Name))
		}
	case p.SignerName != nil:
		selector, err := metav1.LabelSelectorAsSelector(p.LabelSelector) // nil selects nothing
		if err != nil {
			return nil, fmt.Errorf("while parsing label selector: %w", err)
		}
		for _, b := range src.TrustBundles("", *p.SignerName) {
			if selector.Matches(labels.Set(b.Labels)) {
				out = append(out, b.Spec.TrustBundle)
			}
		}
		if len(out) == 0 {
			return nil, errors.New("combination of signerName and labelSelector matched zero ClusterTrustBundles")
		}
	default:
		return nil, errors.New("ClusterTrustBundle projection requires either name or signerName to be set")
	}
	return out, nil
}

// anchors joins bundles: without what is between the certificates, and without
// repetition.
func anchors(bundles []string) []byte {
	set := map[string]bool{}
	for _, b := range bundles {
		for block, rest := pem.Decode([]byte(b)); block != nil; block, rest = pem.Decode(rest) {
			set[string(block.Bytes)] = true
		}
	}
	var out bytes.Buffer
	for _, der := range slices.Sorted(maps.Keys(set)) {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(der)}))
	}
	return out.Bytes()
}

// certificate writes a pod's key and certificates (KEP-4317).
func certificate(ctx context.Context, files map[string]File, src Sources, v *corev1.Volume, index int, mode int32) error {
	p := v.Projected.Sources[index].PodCertificate
	key, chain, err := src.Certificate(ctx, v.Name, index, p)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path string
		data []byte
	}{
		{p.CredentialBundlePath, slices.Concat(key, chain)}, {p.KeyPath, key}, {p.CertificateChainPath, chain},
	} {
		if f.path == "" {
			continue
		}
		if err := putOwned(files, src, f.path, f.data, mode); err != nil {
			return err
		}
	}
	return nil
}
