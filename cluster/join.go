package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/dns"
)

// joinPath is where a machine asks to become a node. It is no part of the
// Kubernetes API.
const joinPath = "/skiff/v1/join"

// joinRequest is what a machine sends: the name of its node.
type joinRequest struct {
	NodeName string `json:"nodeName"`
}

// joinAnswer is what the machine needs to be a node.
type joinAnswer struct {
	Authority   []byte       `json:"authority"` // PEM
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
	ClusterCIDR netip.Prefix `json:"clusterCIDR"`
	Domain      string       `json:"domain"`
	DNSStubs    []dns.Stub   `json:"dnsStubs,omitempty"`
}

// JoinToken lets a machine join: it proves the right to, and names the
// cluster's authority, so that the machine can tell it from an impostor. Its
// secret is a bootstrap token.
type JoinToken struct{ Secret, AuthorityHash string }

const tokenPrefix = "skiff1"

// String writes the token in its one form.
func (t JoinToken) String() string { return tokenPrefix + "." + t.Secret + "." + t.AuthorityHash }

var errNoToken = errors.New("--token: this is not a join token; print one with \"skiff token create\" on the server and pass it whole")

// ParseJoinToken reads a token.
func ParseJoinToken(text string) (JoinToken, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	last := len(parts) - 1
	if last < 2 || last > 3 || parts[0] != tokenPrefix || len(parts[last]) != hex.EncodedLen(sha256.Size) {
		return JoinToken{}, errNoToken
	}
	secret := strings.Join(parts[1:last], ".")
	if len(secret) < 20 {
		return JoinToken{}, errNoToken
	}
	return JoinToken{Secret: secret, AuthorityHash: parts[last]}, nil
}

// ReadJoinToken returns the token of a cluster whose server runs on this
// machine.
func ReadJoinToken(paths Paths) (string, error) {
	data, err := os.ReadFile(paths.JoinToken())
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the cluster at %s has no join token: start it with \"skiff up\"", paths.Data)
	}
	return string(data), err
}

// joiner answers join requests.
type joiner struct {
	config Config
	id     *identity
	user   func(*http.Request) (authn.User, error)
}

// mayJoin tells whether a user may become the node of a name: one with a token
// may become any, and a node itself.
func mayJoin(user authn.User, name string) bool {
	node, isNode := user.Node()
	return user.In(controlplane.JoinGroup) || isNode && node == name
}

// allowed tells whether whoever asks may become the node of a name.
func (j *joiner) allowed(r *http.Request, name string) bool {
	// A certificate comes before a token; that of another name is no reason to
	// refuse a token that is valid.
	bare := r.Clone(r.Context())
	bare.TLS = nil
	for _, as := range []*http.Request{r.Clone(r.Context()), bare} {
		if user, err := j.user(as); err == nil && mayJoin(user, name) {
			return true
		}
	}
	return false
}

// ServeHTTP tells what the cluster decides for a node, to whoever has a token, and to
// the node itself. Certificates are asked for by the Kubernetes API.
func (j *joiner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req joinRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&req); err != nil {
		http.Error(w, "the join request is not JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	if !j.allowed(r, req.NodeName) {
		http.Error(w, "the join token is not valid, or no more: make one with \"skiff token create\" on the server", http.StatusUnauthorized)
		return
	}
	answer, err := j.join(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone asks again
}

func (j *joiner) join(req joinRequest) (*joinAnswer, error) {
	if problems := validation.IsDNS1123Subdomain(req.NodeName); len(problems) > 0 {
		return nil, fmt.Errorf("node name %q: %s", req.NodeName, strings.Join(problems, "; "))
	}
	return &joinAnswer{
		Authority:   j.id.authority.CertificatePEM(),
		ServiceCIDR: j.config.ServiceCIDR, ClusterCIDR: clusterRange(j.config.PodCIDR), Domain: j.config.Domain,
		DNSStubs: j.config.DNSStubs,
	}, nil
}

// askToJoin asks the cluster that the token names what a node must know. A node that
// has joined before shows the certificate that it has kept.
func askToJoin(ctx context.Context, server string, token JoinToken, kept *identity, name string) (*joinAnswer, error) {
	body, err := json.Marshal(joinRequest{NodeName: name})
	if err != nil {
		return nil, fmt.Errorf("encode the join request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(server, "/")+joinPath, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("--server %q: %w; give a URL such as https://10.0.0.1:6443", server, err)
	}
	if token.Secret != "" {
		req.Header.Set("Authorization", "Bearer "+token.Secret)
	}
	config := pinned(token.AuthorityHash)
	if kept != nil {
		config.Certificates = []tls.Certificate{kept.node.TLS()}
	}
	transport := &http.Transport{TLSClientConfig: config, DialContext: (&net.Dialer{Timeout: deadConnection}).DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", server, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", server, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("join %s: %s", server, strings.TrimSpace(string(data)))
	}
	answer := &joinAnswer{}
	if err := json.Unmarshal(data, answer); err != nil {
		return nil, fmt.Errorf("join %s: the answer is not a cluster's: %w", server, err)
	}
	return answer, nil
}

// pinned accepts a server whose chain ends in the authority that the token
// names, whoever else vouches for it.
func pinned(hash string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // replaced by the check below: the authority is known by its hash alone
		VerifyConnection: func(state tls.ConnectionState) error {
			roots := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				if sum := sha256.Sum256(c.RawSubjectPublicKeyInfo); hex.EncodeToString(sum[:]) == hash {
					roots.AddCert(c)
				}
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: state.ServerName})
			if err != nil {
				return fmt.Errorf("the server is not the one that the token is of: %w", err)
			}
			return nil
		},
	}
}
