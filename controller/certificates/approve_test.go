package certificates

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// A node serves by its own name, at addresses that are its alone.
func TestMayServe(t *testing.T) {
	cache := watchcache.New(8)
	for i, n := range []struct{ name, address string }{{"a", "192.0.2.1"}, {"b", "192.0.2.2"}, {"shares", "192.0.2.2"}, {"localhost", "127.0.0.1"}} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.address}}
		e := view.NewEntry(resource.Nodes.Info, node, int64(i+1))
		cache.Apply([]watchcache.Update{{Info: resource.Nodes.Info, Key: e.Key, Entry: e, Revision: int64(i + 1)}}, int64(i+1))
	}
	for _, test := range []struct {
		by, of, group, name, address string
		may                          bool
	}{
		{"a", "a", "system:nodes", "a", "192.0.2.1", true},
		{"a", "b", "system:nodes", "b", "192.0.2.2", false},
		{"a", "a", "system:nodes", "b", "192.0.2.1", false},
		{"a", "a", "system:nodes", "a", "192.0.2.9", false},
		{"a", "a", "system:masters", "a", "192.0.2.1", false},
		{"shares", "shares", "system:nodes", "shares", "192.0.2.2", false},
		{"localhost", "localhost", "system:nodes", "localhost", "127.0.0.1", false},
		{"new", "new", "system:nodes", "new", "192.0.2.5", false},
	} {
		csr := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
			Username: nodePrefix + test.by, Groups: []string{test.group},
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		}}
		request := &x509.CertificateRequest{
			Subject:  pkix.Name{CommonName: nodePrefix + test.of, Organization: []string{"system:nodes"}},
			DNSNames: []string{test.name}, IPAddresses: []net.IP{net.ParseIP(test.address)},
		}
		if may := mayServe(cache.View(), csr, request); may != test.may {
			t.Errorf("%+v: it may: %v", test, may)
		}
	}
}
