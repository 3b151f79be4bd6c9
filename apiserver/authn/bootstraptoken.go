package authn

import (
	"context"
	"crypto/subtle"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// BootstrapTokens checks tokens by which machines ask for their first
// certificate: secrets in kube-system of the type bootstrap.kubernetes.io/token,
// with the keys of the documentation's page "Authenticating with Bootstrap
// Tokens".
type BootstrapTokens struct {
	// Audiences are the API server's: the tokens are for it alone.
	Audiences []string
	View      func() *view.View
	Now       func() time.Time
}

const bootstrappers = "system:bootstrappers"

var (
	bootstrapToken = regexp.MustCompile(`\A([a-z0-9]{6})\.([a-z0-9]{16})\z`)
	bootstrapGroup = regexp.MustCompile(`\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z`)
)

// Authenticate implements Token. As upstream, it never says what is wrong with a
// token: whoever guesses must learn nothing.
func (b *BootstrapTokens) Authenticate(_ context.Context, token string, audiences []string) (User, []string, error) {
	parts := bootstrapToken.FindStringSubmatch(token)
	granted := slices.DeleteFunc(slices.Clone(audiences), func(a string) bool { return !slices.Contains(b.Audiences, a) })
	if parts == nil || len(granted) == 0 {
		return User{}, nil, ErrUnknownToken
	}
	id := parts[1]
	secret, ok := view.Get(b.View(), resource.Secrets, metav1.NamespaceSystem, "bootstrap-token-"+id)
	if !ok || secret.DeletionTimestamp != nil || secret.Type != "bootstrap.kubernetes.io/token" ||
		subtle.ConstantTimeCompare(secret.Data["token-secret"], []byte(parts[2])) != 1 ||
		string(secret.Data["token-id"]) != id ||
		string(secret.Data["usage-bootstrap-authentication"]) != "true" ||
		ended(string(secret.Data["expiration"]), b.Now()) {
		return User{}, nil, ErrUnknownToken
	}
	groups, ok := bootstrapGroups(string(secret.Data["auth-extra-groups"]))
	if !ok {
		return User{}, nil, ErrUnknownToken
	}
	return User{Name: "system:bootstrap:" + id, Groups: groups}, granted, nil
}

// ended tells whether the time that text gives has come; none never comes, and
// one that cannot be read has.
func ended(text string, now time.Time) bool {
	if text == "" {
		return false
	}
	end, err := time.Parse(time.RFC3339, text)
	return err != nil || !end.After(now)
}

func bootstrapGroups(extra string) ([]string, bool) {
	groups := []string{bootstrappers}
	if extra == "" {
		return groups, true
	}
	for group := range strings.SplitSeq(extra, ",") {
		if !bootstrapGroup.MatchString(group) {
			return nil, false
		}
		groups = append(groups, group)
	}
	slices.Sort(groups)
	return slices.Compact(groups), true
}
