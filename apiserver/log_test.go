package apiserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

func TestLogOptions(t *testing.T) {
	c := startWithPod(t)
	log := pods + "/p/log"
	for query, reason := range map[string]string{
		"tailLines=-1":              `PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0`,
		"limitBytes=0":              `limitBytes: Invalid value: 0: must be greater than 0`,
		"sinceSeconds=0":            `sinceSeconds: Invalid value: 0: must be greater than 0`,
		"stream=Stdout":             `stream: Forbidden: may not be specified`,
		"tailLines=-1&limitBytes=0": `[tailLines: Invalid value: -1: must be greater than or equal to 0, limitBytes: Invalid value: 0: must be greater than 0]`,
		"sinceSeconds=1&sinceTime=2026-01-02T15:04:05Z": "at most one of `sinceTime` or `sinceSeconds` may be specified",
	} {
		want(t, c.Do("GET", log+"?"+query, ""), 422, reason)
	}
	want(t, c.Do("GET", log+"?tailLines=many", ""), 400, `strconv.ParseInt: parsing \"many\": invalid syntax`)
	want(t, c.Do("GET", log+"?sinceTime=noon", ""), 400, `cannot parse`)
	want(t, c.Do("GET", log+"?container=x", ""), 400, "container x is not valid for pod p")
	want(t, c.Do("GET", pods+"/none/log?container=x", ""), 404)
	if a := c.Do("GET", log, ""); a.Code != 204 || len(a.Body) > 0 {
		t.Errorf("a pod without a node has the log %d %q", a.Code, a.Body)
	}
	want(t, c.Do("POST", pods, `{"metadata":{"name":"two"},"spec":{"initContainers":[{"name":"i","image":"x"}],"containers":[{"name":"a","image":"x"},{"name":"b","image":"x"}]}}`), 201)
	want(t, c.Do("GET", pods+"/two/log", ""), 400, "a container name must be specified for pod two, choose one of: [i a b]")
}

func TestLog(t *testing.T) {
	agent := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the user's token reached the node")
		}
		switch r.URL.Query().Get("previous") {
		case "true":
			http.Error(w, `previous terminated container "c" in pod "p" not found`, http.StatusBadRequest)
		default:
			fmt.Fprint(w, r.URL)
		}
	}))
	t.Cleanup(agent.Close)
	u, err := url.Parse(agent.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := startWithRunningPod(t, "True")
	log := pods + "/p/log"
	want(t, c.Do("GET", log, ""), 404, `nodes \"n1\" not found`)
	want(t, c.Do("POST", "/api/v1/nodes", `{"metadata":{"name":"n1"}}`), 201)
	want(t, c.Do("PATCH", "/api/v1/nodes/n1/status", `{"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":`+u.Port()+`}}}}`,
		"Content-Type: application/merge-patch+json"), 200)
	want(t, c.Do("GET", log, ""), 500, "certificate signed by unknown authority")
	trusting := log + "?insecureSkipTLSVerifyBackend=true"
	told := c.Do("GET", trusting+"&follow&tailLines=3&sinceTime=2026-01-02T15:04:05Z&timestamps=false&pretty=true", "")
	want(t, told, 200, "/containerLogs/default/p/")
	if text := string(told.Body); !strings.HasSuffix(text, "?follow=true&sinceTime=2026-01-02T15%3A04%3A05Z&tailLines=3") || told.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("the node was asked %s; answered as %s", text, told.Header.Get("Content-Type"))
	}
	want(t, c.Do("GET", trusting+"&previous=true", ""), 400, `"reason":"BadRequest"`, `previous terminated container \"c\" in pod \"p\" not found"`)

	code, message := firstMessage(t, c, trusting+"&tailLines=3")
	if code != http.StatusSwitchingProtocols || !strings.HasSuffix(message, "?tailLines=3") {
		t.Errorf("a WebSocket was answered with %d %q", code, message)
	}
	if code, _ := firstMessage(t, c, trusting+"&previous=true"); code != http.StatusBadRequest {
		t.Errorf("a WebSocket for a log that is not there was answered with %d", code)
	}
}

// firstMessage opens a WebSocket and returns the status and the first message
// that is not empty.
func firstMessage(t *testing.T, c *apiservertest.Cluster, path string) (int, string) {
	t.Helper()
	u, err := url.Parse(c.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Origin: http://localhost\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary.k8s.io\r\n\r\n",
		u.RequestURI(), u.Host, apiservertest.Admin)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return res.StatusCode, ""
	}
	for {
		head := make([]byte, 2) // a short frame of a server: its kind and its length
		if _, err := io.ReadFull(in, head); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, head[1])
		if _, err := io.ReadFull(in, text); err != nil {
			t.Fatal(err)
		}
		if len(text) > 0 {
			return res.StatusCode, string(text)
		}
	}
}
