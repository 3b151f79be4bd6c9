package authn

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// Discovery returns the two documents by which others check tokens of this
// cluster: the issuer's configuration, and its keys (OpenID Connect Discovery,
// RFC 7517). keysURL is where the second is served.
func (s *ServiceAccountTokens) Discovery(keysURL string) (configuration, keys []byte, err error) {
	set := jose.JSONWebKeySet{}
	for _, k := range s.Keys.all() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.signer.Public(), KeyID: k.id, Algorithm: string(s.Algorithm), Use: "sig"})
	}
	if keys, err = json.Marshal(set); err != nil {
		return nil, nil, fmt.Errorf("encode the service account keys: %w", err)
	}
	configuration, err = json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		KeysURL       string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		SubjectTypes  []string `json:"subject_types_supported"`
		Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	}{s.Issuer, keysURL, []string{"id_token"}, []string{"public"}, []string{string(s.Algorithm)}})
	return configuration, keys, err
}

// claimedIssuer reads who a token says that it is from, before anything is
// checked; "" if it is no token of the compact form.
func claimedIssuer(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// verified remembers the claims of tokens whose signatures were checked, which
// costs far more than the rest. What a token is worth now is looked up each time.
// It holds hashes, not tokens.
type verified struct {
	mu          sync.Mutex
	young, aged map[[sha256.Size]byte]*allClaims
}

// verifiedMost is how many tokens are young before the aged ones are forgotten.
const verifiedMost = 4096

func (c *verified) get(token string) *allClaims {
	key := sha256.Sum256([]byte(token))
	c.mu.Lock()
	defer c.mu.Unlock()
	if claims := c.young[key]; claims != nil {
		return claims
	}
	claims := c.aged[key]
	if claims != nil {
		c.keep(key, claims)
	}
	return claims
}

func (c *verified) put(token string, claims *allClaims) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(sha256.Sum256([]byte(token)), claims)
}

func (c *verified) keep(key [sha256.Size]byte, claims *allClaims) {
	if c.young == nil || len(c.young) >= verifiedMost {
		c.young, c.aged = map[[sha256.Size]byte]*allClaims{}, c.young
	}
	c.young[key] = claims
}
