package node

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// certificates keeps the keys and certificates of the node's pods, and asks for
// them and for their successors (KEP-4317). Nothing of it outlives the process: a
// new one asks anew.
type certificates struct {
	client client.Client
	node   string
	tell   func(*corev1.Pod, Event)

	mu   sync.Mutex
	kept map[certificateKey]credential
}

// certificateKey names a source of a projected volume.
type certificateKey struct {
	pod    types.UID
	volume string
	source int
}

// credential is what a pod has, and the request for the next that is under way.
type credential struct {
	key, chain       []byte // PEM; empty before the first
	refresh, expires time.Time
	overdue, expired bool // has been told

	request string // name of the one under way
	next    []byte // its key
	ended   error  // why there will never be another
}

func newCertificates(c client.Client, node string, tell func(*corev1.Pod, Event)) *certificates {
	return &certificates{client: c, node: node, tell: tell, kept: map[certificateKey]credential{}}
}

// get returns a pod's key and certificates, and when to ask again unless its
// request changes before. Calls for one pod come one at a time.
func (s *certificates) get(ctx context.Context, pod *corev1.Pod, key certificateKey, p *corev1.PodCertificateProjection) (credential, time.Time, error) {
	s.mu.Lock()
	c := s.kept[key]
	s.mu.Unlock()
	now := time.Now()
	s.look(pod, &c)
	var err error
	if c.ended == nil && c.request == "" && !now.Before(c.refresh) {
		c.request, c.next, err = s.ask(ctx, pod, p)
		s.look(pod, &c) // the answer may be there already
	}
	again := s.remind(pod, &c, now)
	s.mu.Lock()
	s.kept[key] = c
	s.mu.Unlock()
	switch {
	case c.ended != nil:
		return c, time.Time{}, c.ended
	case err != nil && len(c.chain) > 0:
		return c, now.Add(retryMost), nil // what it has still serves
	case err != nil:
		return c, time.Time{}, err
	case len(c.chain) == 0:
		return c, time.Time{}, errors.New("credential bundle is not issued yet")
	}
	return c, again, nil
}

// forget drops what a pod had.
func (s *certificates) forget(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.kept {
		if key.pod == pod {
			delete(s.kept, key)
		}
	}
}

// look takes in what has become of the request under way.
func (s *certificates) look(pod *corev1.Pod, c *credential) {
	if c.request == "" {
		return
	}
	r, ok := view.Get(s.client.Cache().View(), resource.PodCertificateRequests, pod.Namespace, c.request)
	if !ok {
		// The cache had it when it was made: someone has deleted it.
		c.request = ""
		return
	}
	for _, condition := range r.Status.Conditions {
		switch condition.Type {
		case certificatesv1.PodCertificateRequestConditionTypeIssued:
			*c = credential{
				key: c.next, chain: cleanChain(r.Status.CertificateChain),
				refresh: r.Status.BeginRefreshAt.Add(jitter()), expires: r.Status.NotAfter.Time,
			}
		case certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed:
			verb, was := "failed", "failed"
			if condition.Type == certificatesv1.PodCertificateRequestConditionTypeDenied {
				verb, was = "denied", "was denied"
			}
			c.request = ""
			c.ended = fmt.Errorf("PodCertificateRequest was permanently %s: reason=%q message=%q", verb, condition.Reason, condition.Message)
			s.tell(pod, Event{Warning: true, Reason: condition.Type, Message: fmt.Sprintf(
				"PodCertificateRequest %s/%s %s, reason=%q, message=%q", r.Namespace, r.Name, was, condition.Reason, condition.Message)})
		}
	}
}

// overdueAfter is how long after its time a refresh counts as overdue, as
// upstream's.
const overdueAfter = 10 * time.Minute

// remind tells of certificates that are not followed in time. It returns when to
// look again.
func (s *certificates) remind(pod *corev1.Pod, c *credential, now time.Time) time.Time {
	if len(c.chain) == 0 {
		return time.Time{}
	}
	if overdue := c.refresh.Add(overdueAfter); !c.overdue && !now.Before(overdue) {
		c.overdue = true
		s.tell(pod, Event{Warning: true, Reason: "CertificateOverdueForRefresh", Message: "PodCertificate refresh overdue"})
	} else if !c.overdue && c.request != "" {
		return overdue
	}
	if !c.expired && !now.Before(c.expires) {
		c.expired = true
		s.tell(pod, Event{Warning: true, Reason: "CertificateExpired", Message: "PodCertificate expired"})
	}
	switch {
	case c.request == "":
		return c.refresh
	case !c.expired:
		return c.expires
	}
	return time.Time{} // the request's change wakes the pod
}

// jitter spreads what the pods of a cluster ask for.
func jitter() time.Duration { return mathrand.N(5 * time.Minute) }

// ask makes a key and a request. It returns the request's name and the key in
// PEM.
func (s *certificates) ask(ctx context.Context, pod *corev1.Pod, p *corev1.PodCertificateProjection) (string, []byte, error) {
	account, err := client.Get(ctx, s.client, resource.ServiceAccounts, pod.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return "", nil, fmt.Errorf("while fetching service account: %w", err)
	}
	node, err := client.Get(ctx, s.client, resource.Nodes, "", s.node)
	if err != nil {
		return "", nil, fmt.Errorf("while getting node object from local cache: %w", err)
	}
	key, stub, err := keyAndStub(p.KeyType)
	if err != nil {
		return "", nil, err
	}
	op := client.Create(resource.PodCertificateRequests, &certificatesv1.PodCertificateRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, GenerateName: "req-",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}},
		},
		Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: p.SignerName, PodName: pod.Name, PodUID: pod.UID,
			ServiceAccountName: account.Name, ServiceAccountUID: account.UID, NodeName: types.NodeName(node.Name), NodeUID: node.UID,
			MaxExpirationSeconds: p.MaxExpirationSeconds, StubPKCS10Request: stub, UnverifiedUserAnnotations: p.UserAnnotations,
		},
	})
	op.Cause = "pod " + pod.Name + " mounts a certificate"
	made, err := client.Do(ctx, s.client, resource.PodCertificateRequests, op)
	if err != nil {
		return "", nil, fmt.Errorf("while creating on API: %w", err)
	}
	return made.Name, key, nil
}

// keyAndStub makes a private key, in PEM, and a request that says nothing but
// that its maker has the key.
func keyAndStub(keyType string) (keyPEM, stub []byte, err error) {
	var key crypto.Signer
	switch keyType {
	case "RSA3072":
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case "RSA4096":
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	case "ECDSAP256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ECDSAP384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ECDSAP521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ED25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("unknown key type %q", keyType)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("while generating keypair: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("while PEM-encoding private key: %w", err)
	}
	stub, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("while generating stub PKCS#10 request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), stub, nil
}

// cleanChain drops what is between the certificates of a chain.
func cleanChain(chain string) []byte {
	var out []byte
	for block, rest := pem.Decode([]byte(chain)); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})...)
	}
	return out
}
