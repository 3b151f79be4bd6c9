package apiserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
	"github.com/skiff-sh/skiff/pki"
)

// TestFrontProxy: who has a certificate of the front proxies' authority says for
// whom it asks, and nobody else does.
func TestFrontProxy(t *testing.T) {
	c := apiservertest.Start(t)
	front := pki.Leaf{CommonName: "front-proxy-client"}
	claims := []string{"X-Remote-User: ann", "X-Remote-Uid: 7", "X-Remote-Group: devs", "X-Remote-Group: ops", "X-Remote-Extra-Example.org%2FScopes: a", "X-Remote-Extra-Example.org%2FScopes: b"}
	want(t, c.Fronted(front, "POST", selfPath, "{}", claims...), 201,
		`"username":"ann"`, `"uid":"7"`, `"groups":["devs","ops","system:authenticated"]`, `"extra":{"example.org/scopes":["a","b"]}`)
	want(t, c.Fronted(front, "POST", selfPath, "{}", "X-Remote-User: system:anonymous", "X-Remote-Group: system:unauthenticated"), 403, "system:anonymous")
	want(t, c.Fronted(front, "POST", selfPath, "{}", append(claims, "Authorization: Bearer bob")...), 201, `"username":"ann"`)
	want(t, c.Fronted(front, "POST", selfPath, "{}", append(claims, "Impersonate-User: eve")...), 403, `User \"ann\" cannot impersonate`)

	root := []string{"X-Remote-User: root", "X-Remote-Group: system:masters"}
	ann := pki.Leaf{CommonName: "ann"}
	want(t, c.Fronted(front, "POST", selfPath, "{}", root[1]), 401)
	want(t, c.Fronted(front, "POST", selfPath, "{}", root[1], "Authorization: Bearer bob"), 201, `"username":"bob","groups":["system:authenticated"]`)
	want(t, c.Fronted(ann, "POST", selfPath, "{}", root...), 401)
	want(t, c.Certified(front, false, "POST", selfPath, "{}", root...), 401)
	want(t, c.Certified(front, true, "POST", selfPath, "{}", root...), 201, `"username":"front-proxy-client","groups":["system:authenticated"]`)
	want(t, c.Certified(ann, true, "GET", "/api/v1/secrets", "", root...), 403, `User \"ann\"`)
	want(t, c.As("ann", "GET", "/api/v1/secrets", "", root...), 403, `User \"ann\"`)
	want(t, c.As("", "GET", "/api/v1/secrets", "", root...), 403, `User \"system:anonymous\"`)
}

// TestFrontProxyHeadersStop: what is behind the server does not hear what anybody
// claims to be.
func TestFrontProxyHeadersStop(t *testing.T) {
	c := withBot(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			_, _ = io.WriteString(w, strings.ToLower(name)+" ")
		}
	}))
	defer backend.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(backend.URL, "http://"), ":")
	want(t, c.Do("POST", "/api/v1/namespaces/default/pods", podBody), 201)
	want(t, c.Do("PATCH", "/api/v1/namespaces/default/pods/p/status", `{"status":{"podIP":"192.0.2.9","podIPs":[{"ip":"192.0.2.9"}]}}`, "Content-Type: application/merge-patch+json"), 200)
	root := pki.Leaf{CommonName: "root", Organizations: []string{"system:masters"}}
	for _, a := range []apiservertest.Answer{
		c.Do("GET", "/api/v1/namespaces/default/pods/p:"+port+"/proxy/", "", "X-Remote-User: x", "x-remote-extra-y: z", "X-Remote-Group: g", "X-Remote-Uid: u", "X-Other: o"),
		c.Certified(root, true, "GET", "/api/v1/namespaces/default/pods/p:"+port+"/proxy/", "", "X-Remote-User: x", "X-Other: o", "Authorization: Bearer secret"),
	} {
		if got := string(a.Body); a.Code != 200 || strings.Contains(got, "remote") || strings.Contains(got, "authorization") || !strings.Contains(got, "x-other") {
			t.Errorf("the pod got %d %s", a.Code, got)
		}
	}
}

func TestTrustConfigMap(t *testing.T) {
	c := apiservertest.Start(t)
	const path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
	want(t, c.Do("GET", path, ""), 200, `"client-ca-file":"-----BEGIN CERTIFICATE-----`, `"requestheader-client-ca-file":"-----BEGIN CERTIFICATE-----`,
		`"requestheader-username-headers":"[\"X-Remote-User\"]"`, `"requestheader-uid-headers":"[\"X-Remote-Uid\"]"`, `"requestheader-group-headers":"[\"X-Remote-Group\"]"`,
		`"requestheader-extra-headers-prefix":"[\"X-Remote-Extra-\"]"`, `"requestheader-allowed-names":"[\"front-proxy-client\"]"`)
	want(t, c.As("ann", "GET", path, ""), 403)
	want(t, c.Do("GET", path, "", "Impersonate-User: system:kube-scheduler"), 200)
	// A further server adds its authorities.
	want(t, c.Do("PATCH", path, `{"data":{"requestheader-allowed-names":"[\"other\"]"}}`, "Content-Type: application/merge-patch+json"), 200)
	data := want(t, apiservertest.StartOn(t, c.Store).Do("GET", path, ""), 200, `"requestheader-allowed-names":"[\"other\",\"front-proxy-client\"]"`)
	for _, key := range []string{"client-ca-file", "requestheader-client-ca-file"} {
		pems := data["data"].(map[string]any)[key].(string)
		if n := strings.Count(pems, "BEGIN CERTIFICATE"); n != 2 {
			t.Errorf("%s has %d certificates, want those of both servers", key, n)
		}
	}
}
