package apiserver

import (
	"net/http"
	"net/url"

	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// serveUpgrade joins the client's connection to the node agent's: SPDY and the
// elder WebSocket protocols as they are, v5.channel.k8s.io by translating it,
// SPDY within WebSockets by unwrapping it (KEP-4006).
func (s *Server) serveUpgrade(w http.ResponseWriter, r *http.Request, c *call, location *url.URL) error {
	// A WebSocket begins with GET, but opening one is no mere reading.
	if err := s.permit(attributes(c.user, "create", c.target)); err != nil {
		return err
	}
	r = r.Clone(r.Context())
	r.Header.Del("Authorization") // it is for this server alone
	transport := s.deps.NodeTransport
	var handler http.Handler = utilproxy.NewUpgradeAwareHandler(location, transport, false, true, proxyError{})
	if c.target.subresource == "portforward" {
		handler = proxy.NewTranslatingHandler(handler, proxy.NewTunnelingHandler(handler), wsstream.IsWebSocketRequestWithTunnelingProtocol)
	} else {
		q := r.URL.Query()
		translator := proxy.NewStreamTranslatorHandler(location, transport, 0, proxy.Options{
			Stdin: truthy(q.Get("stdin")), Stdout: truthy(q.Get("stdout")), Stderr: truthy(q.Get("stderr")), Tty: truthy(q.Get("tty")),
		})
		handler = proxy.NewTranslatingHandler(handler, translator, wsstream.IsWebSocketRequestWithStreamCloseProtocol)
	}
	handler.ServeHTTP(w, r)
	return nil
}
