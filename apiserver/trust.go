package apiserver

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Trust is whose certificates this server takes, in PEM.
type Trust struct {
	Clients      []byte // the authorities of users
	FrontProxies []byte // the authorities of front proxies; empty: there are none
}

// The keys of the config map kube-system/extension-apiserver-authentication, from
// which extension API servers learn whom to believe.
const (
	trustName       = "extension-apiserver-authentication"
	trustClients    = "client-ca-file"
	trustFront      = "requestheader-client-ca-file"
	trustUsers      = "requestheader-username-headers"
	trustUIDs       = "requestheader-uid-headers"
	trustGroups     = "requestheader-group-headers"
	trustExtra      = "requestheader-extra-headers-prefix"
	trustFrontNames = "requestheader-allowed-names"
)

// ensureTrust writes whom this server believes, beside what other servers of the
// cluster have written.
func (s *Server) ensureTrust(ctx context.Context, c client.Client, t Trust) error {
	have, ok := view.Get(c.Cache().View(), resource.ConfigMaps, metav1.NamespaceSystem, trustName)
	if !ok {
		have = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: trustName}}
	}
	data, err := t.merge(have.Data, s.deps.Now())
	if err != nil {
		return fmt.Errorf("update ConfigMap %s: %w", trustName, err)
	}
	if maps.Equal(data, have.Data) {
		return nil
	}
	next := have.DeepCopy()
	next.Data = data
	return replaceOwn(ctx, c, resource.ConfigMaps, next)
}

// merge adds t to the data of the config map, as upstream: what others believe
// stays, but for authorities that have expired.
func (t Trust) merge(have map[string]string, now time.Time) (map[string]string, error) {
	data := map[string]string{}
	if clients := joinCertificates(now, []byte(have[trustClients]), t.Clients); clients != "" {
		data[trustClients] = clients
	}
	front := joinCertificates(now, []byte(have[trustFront]), t.FrontProxies)
	if front == "" {
		return data, nil
	}
	data[trustFront] = front
	for key, value := range map[string]string{
		trustUsers: authn.RemoteUser, trustUIDs: authn.RemoteUID, trustGroups: authn.RemoteGroup,
		trustExtra: authn.RemoteExtraPrefix, trustFrontNames: authn.FrontProxy,
	} {
		var values []string
		if text := have[key]; text != "" {
			if err := json.Unmarshal([]byte(text), &values); err != nil {
				return nil, fmt.Errorf("read %s: %w", key, err)
			}
		}
		if !slices.Contains(values, value) {
			values = append(values, value)
		}
		text, err := json.Marshal(values)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", key, err)
		}
		data[key] = string(text)
	}
	return data, nil
}

// expiredFor is how long expired authorities stay, so that clocks may differ.
const expiredFor = 5 * time.Minute

// joinCertificates returns the certificates of several texts in PEM, each once,
// without those that have expired.
func joinCertificates(now time.Time, texts ...[]byte) string {
	var out bytes.Buffer
	var seen [][]byte
	for _, text := range texts {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			known := slices.ContainsFunc(seen, func(b []byte) bool { return bytes.Equal(b, block.Bytes) })
			c, err := x509.ParseCertificate(block.Bytes)
			if block.Type != "CERTIFICATE" || known || err != nil || c.NotAfter.Add(expiredFor).Before(now) {
				continue
			}
			seen = append(seen, block.Bytes)
			out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
	return out.String()
}
