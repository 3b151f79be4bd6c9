package server

import (
	"log/slog"
	"net/http"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
)

// bearer sends a token with each request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// TestReviews asks a real API server: in the same process as the node itself, and
// over HTTP.
func TestReviews(t *testing.T) {
	c := apiservertest.Start(t)
	for kind, body := range map[string]string{
		"clusterroles":        `{"metadata":{"name":"scraper"},"rules":[{"apiGroups":[""],"resources":["nodes/metrics"],"verbs":["get"]}]}`,
		"clusterrolebindings": `{"metadata":{"name":"scraper"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"scraper"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"monitor"}]}`,
	} {
		if a := c.Do("POST", "/apis/rbac.authorization.k8s.io/v1/"+kind, body); a.Code != http.StatusCreated {
			t.Fatalf("create %s: %d %s", kind, a.Code, a.Body)
		}
	}
	node := authn.User{Name: "system:node:a", Groups: []string{authn.Nodes, authn.Authenticated}}
	for name, by := range map[string]client.Client{
		"in the process": c.API.Local(node),
		"over HTTP": client.NewRemote(client.RemoteConfig{
			Server: c.URL, HTTP: &http.Client{Transport: bearer(apiservertest.Admin)}, Log: slog.New(slog.DiscardHandler),
		}),
	} {
		t.Run(name, func(t *testing.T) {
			access := NewReviews(by.(client.Reviewer))
			if _, known, err := access.User(t.Context(), "not.a.token"); known || err != nil {
				t.Errorf("a stranger's token: known %v, %v", known, err)
			}
			for range 2 { // the second time from what is kept
				user, known, err := access.User(t.Context(), "monitor")
				if !known || err != nil || user.Username != "monitor" {
					t.Fatalf("the token's user is %+v, known %v, %v", user, known, err)
				}
				for subresource, want := range map[string]bool{"metrics": true, "proxy": false} {
					what := authorizationv1.ResourceAttributes{Verb: "get", Version: "v1", Resource: "nodes", Subresource: subresource, Name: "a"}
					if got, err := access.Allowed(t.Context(), user, what); got != want || err != nil {
						t.Errorf("nodes/%s: allowed %v, want %v; %v", subresource, got, want, err)
					}
				}
			}
		})
	}
}
