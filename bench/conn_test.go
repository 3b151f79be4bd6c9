package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// serve returns the endpoint of a server that ends with the test.
func serve(t *testing.T, handler http.HandlerFunc) endpoint {
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return endpoint{server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}}
}

// Answers with a length, in chunks and without success leave the connection
// ready for the next request.
func TestConnStaysUsable(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			fmt.Fprint(w, "four")
		case "/long":
			fmt.Fprint(w, long)
		default:
			http.Error(w, "no such thing", http.StatusNotFound)
		}
	})
	c, err := e.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range 2 {
		for path, want := range map[string]int{"/short": 4, "/long": len(long)} {
			if n, err := c.do(request{method: "GET", path: path}); n != want || err != nil {
				t.Errorf("do %s: %d, %v; want %d", path, n, err, want)
			}
			if data, err := c.fetch(request{method: "GET", path: path}); len(data) != want || err != nil {
				t.Errorf("fetch %s: %d bytes, %v; want %d", path, len(data), err, want)
			}
		}
		_, err := c.do(request{method: "GET", path: "/absent"})
		if refused, ok := err.(*refusedError); !ok || refused.code != 404 || !strings.Contains(refused.text, "no such thing") {
			t.Errorf("absent: %v", err)
		}
	}
}

func TestStreamCountsEvents(t *testing.T) {
	e := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			event := metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Raw: make([]byte, i*10_000)}}
			data, err := event.Marshal()
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
		}
	})
	s, err := e.watch("/")
	if err != nil {
		t.Fatal(err)
	}
	defer s.conn.close()
	for range 3 {
		if kind, err := s.next(); kind != "ADDED" || err != nil {
			t.Fatalf("got %q, %v", kind, err)
		}
	}
	if _, err := s.next(); err == nil {
		t.Error("the end of the watch is no event")
	}
}

func TestTemplate(t *testing.T) {
	object := configMap("ns", map[string]string{"a": "b"})
	data := object.number(nil, 4711)
	if bytes.Equal(data, object.data) || len(data) != len(object.data) {
		t.Fatal("the number is not written, or the template is")
	}
	var unknown runtime.Unknown
	if err := unknown.Unmarshal(data[4:]); err != nil {
		t.Fatal(err)
	}
	var got corev1.ConfigMap
	if err := got.Unmarshal(unknown.Raw); err != nil {
		t.Fatal(err)
	}
	if got.Name != "cm-00004711" || got.Labels["a"] != "b" {
		t.Errorf("got %s with labels %v", got.Name, got.Labels)
	}
	if size := len(data); size < 900 || size > 1100 {
		t.Errorf("the object has %d bytes, about 1 KiB wanted", size)
	}
}
