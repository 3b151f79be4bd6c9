package apiserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// hurried is a response whose deadlines come soon.
type hurried struct{ http.ResponseWriter }

// Unwrap lets http.ResponseController reach the connection.
func (h hurried) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// SetWriteDeadline is what http.ResponseController calls.
func (h hurried) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() {
		at = time.Now().Add(100 * time.Millisecond)
	}
	return http.NewResponseController(h.ResponseWriter).SetWriteDeadline(at)
}

// TestQuietWatchGoesOn holds that a client has a limit to read what is written,
// not to wait for what happens next.
func TestQuietWatchGoesOn(t *testing.T) {
	c := apiservertest.Start(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.API.ServeHTTP(hurried{w}, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/namespaces?watch=1&timeoutSeconds=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiservertest.Admin)
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	events, err := io.ReadAll(res.Body)
	if err != nil || res.ProtoMajor != 2 || len(events) == 0 {
		t.Errorf("a watch over %s ended with %v after %d bytes of events, want its own end", res.Proto, err, len(events))
	}
}
