package authn

import (
	"crypto/x509"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// FrontProxy is the common name of the certificates by which front proxies, and
// API servers towards their extensions, say that they have checked who asks.
const FrontProxy = "front-proxy-client"

// The headers in which a front proxy says for whom it asks.
const (
	RemoteUser        = "X-Remote-User"
	RemoteUID         = "X-Remote-Uid"
	RemoteGroup       = "X-Remote-Group"
	RemoteExtraPrefix = "X-Remote-Extra-"
)

// isFront tells whether a client certificate is a front proxy's: only the
// authority for them can vouch for it, whatever name it has.
func (a *Authenticator) isFront(chain []*x509.Certificate) bool {
	return a.FrontCAs != nil && chain[0].Subject.CommonName == FrontProxy && a.verify(chain, a.FrontCAs()) == nil
}

// remoteUser is whom a front proxy asks for; not ok where it names nobody.
func remoteUser(h http.Header) (user User, ok bool) {
	user = User{Name: h.Get(RemoteUser), UID: h.Get(RemoteUID), Extra: map[string][]string{}}
	if user.Name == "" {
		return User{}, false
	}
	for _, group := range h[RemoteGroup] {
		if group != "" {
			user.Groups = append(user.Groups, group)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if rest, ok := cutFold(name, RemoteExtraPrefix); ok {
			key := extraKey(rest)
			user.Extra[key] = append(user.Extra[key], h[name]...)
		}
	}
	return user.known(), true
}

// extraKey reads a key as it stands in a header's name, where most characters
// have to be escaped and case is lost. What is not escaped rightly is taken as it is.
func extraKey(name string) string {
	name = strings.ToLower(name)
	if key, err := url.PathUnescape(name); err == nil {
		return key
	}
	return name
}

// clearRemote removes all that only a front proxy may say.
func clearRemote(h http.Header) {
	for _, name := range []string{RemoteUser, RemoteUID, RemoteGroup} {
		h.Del(name)
	}
	for name := range h {
		if _, ok := cutFold(name, RemoteExtraPrefix); ok {
			delete(h, name)
		}
	}
}

// cutFold is strings.CutPrefix for names whose case does not count.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
