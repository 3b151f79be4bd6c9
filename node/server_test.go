package node_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"

	"github.com/skiff-sh/skiff/node/server"
	"github.com/skiff-sh/skiff/pki"
)

// door is the agent's server, and a client that it lets in.
type door struct {
	t    *testing.T
	url  string
	ca   *pki.Pair
	rest *rest.Config
	http *http.Client
}

// gate lets in who may do anything, and the owner of a token to the metrics.
type gate struct{}

func (gate) User(_ context.Context, token string) (authenticationv1.UserInfo, bool, error) {
	return authenticationv1.UserInfo{Username: "monitor"}, token == "monitors", nil
}

func (gate) Allowed(_ context.Context, user authenticationv1.UserInfo, what authorizationv1.ResourceAttributes) (bool, error) {
	return slices.Contains(user.Groups, "system:masters") || user.Username == "monitor" && what.Subresource == "metrics" && what.Name == nodeName, nil
}

func (w *world) open(t *testing.T) *door {
	ca, err := pki.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d := &door{t: t, ca: ca}
	own := d.issue(pki.Leaf{CommonName: "system:node:" + nodeName, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.url = "https://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s := server.New(server.Config{
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil },
		ClientCAs:   d.pool(),
		Node:        nodeName,
		Access:      gate{},
	}, w.agent, w.log)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	me := d.pair(pki.Leaf{CommonName: "api", Organizations: []string{"system:masters"}, Client: true})
	key, err := pki.KeyPEM(me.Key)
	if err != nil {
		t.Fatal(err)
	}
	d.rest = &rest.Config{Host: d.url, TLSClientConfig: rest.TLSClientConfig{
		CertData: pemOf(me.Certificate.Raw), KeyData: key, CAData: pemOf(ca.Certificate.Raw),
	}}
	if d.http, err = rest.HTTPClientFor(d.rest); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *door) pair(leaf pki.Leaf) *pki.Pair {
	d.t.Helper()
	p, err := d.ca.Issue(leaf, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

func (d *door) issue(leaf pki.Leaf) tls.Certificate {
	p := d.pair(leaf)
	return tls.Certificate{Certificate: [][]byte{p.Certificate.Raw}, PrivateKey: p.Key}
}

func (d *door) pool() *x509.CertPool { return pki.Pool(d.ca) }

func (d *door) get(path string) (int, string) {
	d.t.Helper()
	resp, err := d.http.Get(d.url + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// stream runs an exec or attach and returns what came out.
func (d *door) stream(path string, o remotecommand.StreamOptions) (string, string, error) {
	u, err := url.Parse(d.url + path)
	if err != nil {
		d.t.Fatal(err)
	}
	e, err := remotecommand.NewSPDYExecutor(d.rest, http.MethodPost, u)
	if err != nil {
		d.t.Fatal(err)
	}
	var out, errs bytes.Buffer
	o.Stdout = &out
	if !o.Tty {
		o.Stderr = &errs
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = e.StreamWithContext(ctx, o)
	return out.String(), errs.String(), err
}

func TestServer(t *testing.T) {
	w := newWorld(t)
	w.create(served("web"))
	p := w.untilPod("web", "is ready", ready)
	d := w.open(t)

	t.Run("strangers stay outside", func(t *testing.T) {
		stranger := d.issue(pki.Leaf{CommonName: "someone", Organizations: []string{"people"}, Client: true})
		for want, certs := range map[int][]tls.Certificate{401: nil, 403: {stranger}} {
			c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.pool(), Certificates: certs}}}
			resp, err := c.Get(d.url + "/pods")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("answer %d, want %d", resp.StatusCode, want)
			}
			c.CloseIdleConnections()
		}
	})
	t.Run("tokens open what their user may see", func(t *testing.T) {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.pool()}}}
		defer c.CloseIdleConnections()
		for request, want := range map[string]int{"monitors /metrics": 200, "monitors /pods": 403, "others /metrics": 401} {
			token, path, _ := strings.Cut(request, " ")
			r, err := http.NewRequest(http.MethodGet, d.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: answer %d, want %d", request, resp.StatusCode, want)
			}
		}
	})
	t.Run("pods", func(t *testing.T) {
		if code, body := d.get("/pods"); code != 200 || !strings.Contains(body, `"name":"web"`) {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		code, body := d.get("/metrics")
		for _, want := range []string{
			`kubelet_node_name{node="` + nodeName + `"} 1`, `kubelet_running_pods 1`, `kubelet_running_containers{container_state="running"} 1`,
			`kubelet_started_containers_total{container_type="container"} 1`, `kubelet_pod_start_duration_seconds_count 1`,
		} {
			if code != 200 || !strings.Contains(body, want+"\n") {
				t.Errorf("answer %d lacks %s:\n%s", code, want, body)
			}
		}
	})
	t.Run("logs", func(t *testing.T) {
		for query, want := range map[string]string{
			"":                                "serving\nan error line\n",
			"?tailLines=1&stream=Stdout":      "",
			"?limitBytes=4&stream=Stdout":     "serv",
			"?stream=Stderr":                  "an error line\n",
			"?sinceTime=2999-01-01T00:00:00Z": "",
		} {
			code, body := d.get("/containerLogs/default/web/main" + query)
			if query == "" && body == "an error line\nserving\n" || strings.HasPrefix(query, "?tailLines") && body == "serving\n" {
				continue // the two streams are read side by side
			}
			if code != 200 || body != want {
				t.Errorf("%s: %d %q, want %q", query, code, body, want)
			}
		}
		if code, body := d.get("/containerLogs/default/none/main"); code != 404 || body != "pod \"none\" does not exist\n" {
			t.Errorf("%d %q", code, body)
		}
		if code, body := d.get("/containerLogs/default/web/main?previous=true"); code != 400 || body != "previous terminated container \"main\" in pod \"web\" not found\n" {
			t.Errorf("%d %q", code, body)
		}
	})
	t.Run("exec", func(t *testing.T) {
		out, errs, err := d.stream("/exec/default/web/main?output=1&error=1&command=/prog&command=exit&command=0&command=hello", remotecommand.StreamOptions{})
		if out != "hello\n" || errs != "" || err != nil {
			t.Errorf("%q %q %v", out, errs, err)
		}
		_, _, err = d.stream("/exec/default/web/main?output=1&error=1&command=/prog&command=exit&command=9", remotecommand.StreamOptions{})
		var exit exec.CodeExitError
		if !errors.As(err, &exit) || exit.Code != 9 {
			t.Errorf("%v", err)
		}
		out, _, err = d.stream("/exec/default/web/main?input=1&output=1&error=1&command=/prog&command=echo", remotecommand.StreamOptions{Stdin: strings.NewReader("there and back")})
		if out != "there and back" || err != nil {
			t.Errorf("%q %v", out, err)
		}
	})
	t.Run("port forwarding", func(t *testing.T) {
		transport, upgrader, err := spdy.RoundTripperFor(d.rest)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(d.url + "/portForward/default/web")
		if err != nil {
			t.Fatal(err)
		}
		stop, started := make(chan struct{}), make(chan struct{})
		f, err := portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u), []string{"0:8080"}, stop, started, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- f.ForwardPorts() }()
		<-started
		ports, err := f.GetPorts()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "ok\n" || err != nil {
			t.Errorf("%q %v", body, err)
		}
		close(stop)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("logs that are followed", func(t *testing.T) { follow(t, w, d, p) })
}

// follow reads a log while it grows, until its container ends.
func follow(t *testing.T, w *world, d *door, p *corev1.Pod) {
	resp, err := d.http.Get(d.url + "/containerLogs/default/web/main?follow=true&tailLines=0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w.fetch(p, "/log?line=one")
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "one" {
		t.Errorf("first line %q %v", lines.Text(), lines.Err())
	}
	w.fetch(p, "/log?line=two")
	if !lines.Scan() || lines.Text() != "two" {
		t.Errorf("second line %q %v", lines.Text(), lines.Err())
	}
	http.Get("http://" + p.Status.PodIP + ":8080/exit")
	if !lines.Scan() || lines.Text() != "asked to end" {
		t.Errorf("last line %q %v", lines.Text(), lines.Err())
	}
	if lines.Scan() {
		t.Errorf("after the end: %q", lines.Text())
	}
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
