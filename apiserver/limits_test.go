package apiserver_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/apiserver/apiservertest"
)

// open sends the head of a request and leaves the body to the caller.
func open(t *testing.T, c *apiservertest.Cluster, token, head string) net.Conn {
	t.Helper()
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "%s\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", head, u.Host, token); err != nil {
		t.Fatal(err)
	}
	return conn
}

func answer(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// TestLargeBodyIsRefusedUnread: a body that says that it is too large is
// refused before a byte of it has come, and one that does not say so after the
// limit.
func TestLargeBodyIsRefusedUnread(t *testing.T) {
	c := apiservertest.Start(t)
	conn := open(t, c, apiservertest.Admin, "POST "+configMaps+" HTTP/1.1")
	fmt.Fprintf(conn, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", 100<<20)
	if code, body := answer(t, conn); code != 413 || !strings.Contains(body, "limit is 3145728") {
		t.Errorf("a body of 100 MiB is answered %d %s", code, body)
	}
	a := c.Do("POST", configMaps, strings.Repeat("x", 4<<20))
	if a.Code != 413 {
		t.Errorf("a body of 4 MiB is answered %d %s", a.Code, a.Body)
	}
}

// TestSlowBody: who does not send the body in time is told so.
func TestSlowBody(t *testing.T) {
	c := apiservertest.Start(t)
	conn := open(t, c, apiservertest.Admin, "POST "+configMaps+"?timeout=100ms HTTP/1.1")
	fmt.Fprint(conn, "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	if code, body := answer(t, conn); code != 504 || !strings.Contains(body, "request did not complete within the allotted timeout") {
		t.Errorf("a slow body is answered %d %s", code, body)
	}
	if a := c.Do("GET", configMaps+"?timeout=soon", ""); a.Code != 400 || !strings.Contains(string(a.Body), "invalid timeout specified in the request URL") {
		t.Errorf("a timeout that is none is answered %d %s", a.Code, a.Body)
	}
}

// TestPlaces fills all places for writing with clients that do not send their
// bodies: further writers wait and get in as soon as one is done, reads go on,
// administrators need no place, and who finds the line full is told to come
// again.
func TestPlaces(t *testing.T) {
	c := apiservertest.Start(t)
	binding := `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"eve"},` +
		`"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"eve"}]}`
	if a := c.Do("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding); a.Code != 201 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	const writers, line = 200, 200 * 8
	begin := func() net.Conn {
		conn := open(t, c, "eve", "POST "+configMaps+" HTTP/1.1")
		fmt.Fprint(conn, "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		return conn
	}
	var slow []net.Conn
	for range writers {
		slow = append(slow, begin())
	}
	c.API.AwaitPlaces(t.Context(), writers, 0)
	if a := c.As("eve", "GET", configMaps, ""); a.Code != 200 {
		t.Errorf("a read is answered %d", a.Code)
	}
	if a := c.Do("POST", configMaps, `{"metadata":{"name":"urgent"}}`); a.Code != 201 {
		t.Errorf("an administrator's write is answered %d %s", a.Code, a.Body)
	}
	done := make(chan apiservertest.Answer)
	go func() { done <- c.As("eve", "POST", configMaps, `{"metadata":{"name":"patient"}}`) }()
	c.API.AwaitPlaces(t.Context(), writers, 1)
	slow[0].Close()
	if a := <-done; a.Code != 201 {
		t.Errorf("who waited is answered %d %s", a.Code, a.Body)
	}
	for range line + 1 {
		begin()
	}
	c.API.AwaitPlaces(t.Context(), writers, line)
	a := c.As("eve", "POST", configMaps, `{"metadata":{"name":"late"}}`)
	if a.Code != 429 || a.Header.Get("Retry-After") == "" {
		t.Errorf("who finds the line full is answered %d %s", a.Code, a.Body)
	}
}

// TestHostileDocuments: what could blow up in memory or on the stack is refused
// with an error, quickly.
func TestHostileDocuments(t *testing.T) {
	c := apiservertest.Start(t)
	if a := c.Do("POST", configMaps, `{"metadata":{"name":"x"},"data":{"k":"v"}}`); a.Code != 201 {
		t.Fatal(string(a.Body))
	}
	deep := func(open, closing string, n int) string { return strings.Repeat(open, n) + strings.Repeat(closing, n) }
	var laughs bytes.Buffer
	laughs.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	for name, test := range map[string]struct{ method, path, media, body string }{
		"deep JSON":           {"POST", configMaps, "application/json", `{"data":` + deep("[", "]", 500000) + "}"},
		"deep YAML":           {"POST", configMaps, "application/yaml", "data: " + deep("[", "]", 100000)},
		"aliases":             {"POST", configMaps, "application/yaml", laughs.String()},
		"deep merge patch":    {"PATCH", configMaps + "/x", "application/merge-patch+json", deep(`{"a":`, "}", 200000)},
		"deep strategic":      {"PATCH", configMaps + "/x", "application/strategic-merge-patch+json", deep(`{"a":`, "}", 200000)},
		"many operations":     {"PATCH", configMaps + "/x", "application/json-patch+json", "[" + strings.TrimSuffix(strings.Repeat(`{"op":"test","path":"/a","value":1},`, 10001), ",") + "]"},
		"deep apply":          {"PATCH", configMaps + "/x?fieldManager=a", "application/apply-patch+yaml", "data: " + deep("[", "]", 100000)},
		"aliases in apply":    {"PATCH", configMaps + "/x?fieldManager=a", "application/apply-patch+yaml", laughs.String()},
		"lengths in protobuf": {"POST", configMaps, "application/vnd.kubernetes.protobuf", "k8s\x00\x0a\xff\xff\xff\xff\x0f"},
		"selector":            {"GET", configMaps + "?labelSelector=" + strings.Repeat("(", 10000), "", ""},
		"doubling copies": {"PATCH", configMaps + "/x", "application/json-patch+json", "[" + strings.TrimSuffix(
			strings.Repeat(`{"op":"copy","from":"/data","path":"/data/k"},`, 60), ",") + "]"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			a := c.Do(test.method, test.path, test.body, "Content-Type: "+test.media)
			if a.Code < 400 || a.Code >= 500 {
				t.Errorf("answered %d %.300s", a.Code, a.Body)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
