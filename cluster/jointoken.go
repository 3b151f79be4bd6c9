package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster/controlplane"
	"github.com/skiff-sh/skiff/pki"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	bootstrapTokens = "/api/v1/namespaces/kube-system/secrets"
	bootstrapPrefix = "bootstrap-token-"
	bootstrapUsage  = "usage-bootstrap-"
)

// BootstrapToken is what may be told of a bootstrap token.
type BootstrapToken struct {
	ID          string `json:"id"`
	Description string `json:"description,omitempty"`
	// Expires is when it ends to be valid, in RFC 3339, "" for never.
	Expires string   `json:"expires,omitempty"`
	Usages  []string `json:"usages"`
	Groups  []string `json:"groups"`
}

// NewToken is a token that was just made, with the text to pass to "skiff agent".
type NewToken struct {
	BootstrapToken
	Token string `json:"token"`
}

// CreateJoinToken makes a token by which machines join until ttl has passed, 0
// for ever.
func CreateJoinToken(ctx context.Context, config Config, ttl time.Duration, description string) (NewToken, error) {
	if ttl < 0 {
		return NewToken{}, fmt.Errorf("--ttl %s: use a positive duration such as 24h, or 0 for a token that never expires", ttl)
	}
	a, err := runningAdmin(config)
	if err != nil {
		return NewToken{}, err
	}
	text, err := ReadJoinToken(config.Paths())
	if err != nil {
		return NewToken{}, err
	}
	token, err := ParseJoinToken(text)
	if err != nil {
		return NewToken{}, err
	}
	expires := ""
	if ttl > 0 {
		expires = time.Now().Add(ttl).UTC().Format(time.RFC3339)
	}
	made, object := newJoinToken(token.AuthorityHash, description, expires)
	if err := a.send(ctx, http.MethodPost, bootstrapTokens, object, nil); err != nil {
		return NewToken{}, err
	}
	return NewToken{BootstrapToken: bootstrapTokenOf(object), Token: made.String()}, nil
}

// newJoinToken makes a token, and the object that makes it valid.
func newJoinToken(authorityHash, description, expires string) (JoinToken, *corev1.Secret) {
	random := strings.ToLower(rand.Text())
	id, secret := random[:6], random[6:22]
	return JoinToken{Secret: id + "." + secret, AuthorityHash: authorityHash}, joinSecret(id, secret, description, expires)
}

// id is what others may know of a token.
func (t JoinToken) id() string {
	id, _, _ := strings.Cut(t.Secret, ".")
	return id
}

const ownDescription = "the cluster's own; revoked, another takes its place"

// ensureJoinToken makes the cluster's own token, which never expires, unless there
// is one. One whose object is gone has been revoked.
func ensureJoinToken(ctx context.Context, c client.Client, paths Paths, authority *pki.Pair) error {
	if text, err := ReadJoinToken(paths); err == nil {
		if token, err := ParseJoinToken(text); err == nil && token.AuthorityHash == authority.Hash() {
			if _, ok := view.Get(c.Cache().View(), resource.Secrets, metav1.NamespaceSystem, bootstrapPrefix+token.id()); ok {
				return nil
			}
		}
	}
	token, object := newJoinToken(authority.Hash(), ownDescription, "")
	if _, err := c.Do(ctx, client.Create(resource.Secrets, object)); err != nil {
		return fmt.Errorf("make the cluster's join token: %w", err)
	}
	return token.write(paths)
}

func (t JoinToken) write(paths Paths) error {
	return pki.WriteFile(paths.JoinToken(), []byte(t.String()+"\n"))
}

// joinSecret is the object that holds a token, with the keys of the
// documentation's page "Authenticating with Bootstrap Tokens".
func joinSecret(id, secret, description, expires string) *corev1.Secret {
	data := map[string][]byte{
		"token-id": []byte(id), "token-secret": []byte(secret), "auth-extra-groups": []byte(controlplane.JoinGroup),
		bootstrapUsage + "authentication": []byte("true"),
	}
	if description != "" {
		data["description"] = []byte(description)
	}
	if expires != "" {
		data["expiration"] = []byte(expires)
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: bootstrapPrefix + id},
		Type:       corev1.SecretTypeBootstrapToken, Data: data,
	}
}

// bootstrapTokenOf is what a secret tells of its token. Others may have made it.
func bootstrapTokenOf(secret *corev1.Secret) BootstrapToken {
	t := BootstrapToken{
		ID:          strings.TrimPrefix(secret.Name, bootstrapPrefix),
		Description: string(secret.Data["description"]), Expires: string(secret.Data["expiration"]),
		Usages: []string{}, Groups: []string{},
	}
	for key, value := range secret.Data {
		if usage, ok := strings.CutPrefix(key, bootstrapUsage); ok && string(value) == "true" {
			t.Usages = append(t.Usages, usage)
		}
	}
	slices.Sort(t.Usages)
	if groups := string(secret.Data["auth-extra-groups"]); groups != "" {
		t.Groups = strings.Split(groups, ",")
	}
	return t
}

// BootstrapTokens are a cluster's bootstrap tokens, whoever made them.
func BootstrapTokens(ctx context.Context, config Config) ([]BootstrapToken, error) {
	list, err := askServer[corev1.SecretList](ctx, config, http.MethodGet,
		bootstrapTokens+"?fieldSelector="+url.QueryEscape("type="+string(corev1.SecretTypeBootstrapToken)))
	if err != nil {
		return nil, err
	}
	tokens := []BootstrapToken{}
	for i := range list.Items {
		tokens = append(tokens, bootstrapTokenOf(&list.Items[i]))
	}
	slices.SortFunc(tokens, func(a, b BootstrapToken) int { return cmp.Compare(a.ID, b.ID) })
	return tokens, nil
}

var tokenID = regexp.MustCompile(`\A[a-z0-9]{6}\z`)

// RevokeToken makes a bootstrap token void. Nodes that have joined by it stay. In
// place of the cluster's own, which further nodes on this machine join by, there is
// another then.
func RevokeToken(ctx context.Context, config Config, id string) error {
	if !tokenID.MatchString(id) {
		return fmt.Errorf("token ID %q: give the six letters and digits that \"skiff token list\" shows", id)
	}
	_, err := askServer[metav1.Status](ctx, config, http.MethodDelete, bootstrapTokens+"/"+bootstrapPrefix+id)
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("there is no token %q: \"skiff token list\" shows those that there are", id)
	}
	if err != nil {
		return err
	}
	text, err := ReadJoinToken(config.Paths())
	if err != nil {
		return err
	}
	own, err := ParseJoinToken(text)
	if err != nil || own.id() != id {
		return err
	}
	a, err := runningAdmin(config)
	if err != nil {
		return err
	}
	next, object := newJoinToken(own.AuthorityHash, ownDescription, "")
	if err := a.send(ctx, http.MethodPost, bootstrapTokens, object, nil); err != nil {
		return fmt.Errorf("make another join token for the cluster: %w", err)
	}
	return next.write(config.Paths())
}
