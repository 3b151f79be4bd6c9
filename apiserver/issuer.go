package apiserver

import (
	"net"
	"net/http"
	"strconv"
)

// Where others find out how to check this cluster's service account tokens
// (KEP-1393).
const (
	issuerPath = "/.well-known/openid-configuration"
	keysPath   = "/openid/v1/jwks"
)

// serveIssuer answers both documents.
func (s *Server) serveIssuer(w http.ResponseWriter, path string) error {
	host := net.JoinHostPort(s.config.AdvertiseAddress.String(), strconv.Itoa(int(s.config.AdvertisePort)))
	document, keys, err := s.deps.Tokens.Discovery("https://" + host + keysPath)
	if err != nil {
		return err
	}
	media := "application/json"
	if path == keysPath {
		document, media = keys, "application/jwk-set+json"
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, err = w.Write(document)
	return err
}
