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
)

// joinGroup is the group of bootstrap tokens that let machines join. Bootstrap
// tokens of other tools are not in it.
const joinGroup = "system:bootstrappers:skiff:join"

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
	random := strings.ToLower(rand.Text())
	id, secret := random[:6], random[6:22]
	expires := ""
	if ttl > 0 {
		expires = time.Now().Add(ttl).UTC().Format(time.RFC3339)
	}
	object := joinSecret(id, secret, description, expires)
	if err := a.send(ctx, http.MethodPost, bootstrapTokens, object, nil); err != nil {
		return NewToken{}, err
	}
	token.Secret = id + "." + secret
	return NewToken{BootstrapToken: bootstrapTokenOf(object), Token: token.String()}, nil
}

// joinSecret is the object that holds a token, with the keys of the
// documentation's page "Authenticating with Bootstrap Tokens".
func joinSecret(id, secret, description, expires string) *corev1.Secret {
	data := map[string][]byte{
		"token-id": []byte(id), "token-secret": []byte(secret), "auth-extra-groups": []byte(joinGroup),
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

// RevokeToken makes a bootstrap token void. Nodes that have joined by it stay.
func RevokeToken(ctx context.Context, config Config, id string) error {
	if !tokenID.MatchString(id) {
		return fmt.Errorf("token ID %q: give the six letters and digits that \"skiff token list\" shows", id)
	}
	_, err := askServer[metav1.Status](ctx, config, http.MethodDelete, bootstrapTokens+"/"+bootstrapPrefix+id)
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("there is no token %q: \"skiff token list\" shows those that there are", id)
	}
	return err
}
