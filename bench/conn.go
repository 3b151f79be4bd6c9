package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// endpoint is where a server listens and how to speak with it.
type endpoint struct {
	address string // host:port
	tls     *tls.Config
}

// conn is one connection that is kept alive. It sends requests made beforehand
// and throws bodies away, since a full client would cost more than the server.
type conn struct {
	raw  net.Conn
	in   *bufio.Reader
	host string
	out  []byte
}

func (e endpoint) dial() (*conn, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	raw, err := tls.DialWithDialer(dialer, "tcp", e.address, e.tls)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", e.address, err)
	}
	return &conn{raw: raw, in: bufio.NewReaderSize(raw, 64<<10), host: e.address}, nil
}

func (c *conn) close() { c.raw.Close() }

// The media types of requests.
const (
	mediaProtobuf   = "application/vnd.kubernetes.protobuf"
	mediaJSON       = "application/json"
	mediaMergePatch = "application/merge-patch+json"
	mediaApply      = "application/apply-patch+yaml"
)

// request is one HTTP request.
type request struct {
	method, path string
	accept       string // "" = protobuf
	media        string // of the body
	body         []byte
}

func (c *conn) send(r request) error {
	if r.accept == "" {
		r.accept = mediaProtobuf
	}
	b := c.out[:0]
	b = append(b, r.method...)
	b = append(b, ' ')
	b = append(b, r.path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.host...)
	b = append(b, "\r\nUser-Agent: skiff-bench\r\nAccept: "...)
	b = append(b, r.accept...)
	if r.media != "" {
		b = append(b, "\r\nContent-Type: "...)
		b = append(b, r.media...)
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.body)), 10)
	}
	b = append(b, "\r\n\r\n"...)
	b = append(b, r.body...)
	c.out = b
	_, err := c.raw.Write(b)
	return err
}

// head is what the head of an answer says about it.
type head struct {
	code    int
	length  int // of the body; -1 = chunked
	chunked bool
}

func (c *conn) readHead() (head, error) {
	h := head{length: -1}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return h, err
	}
	if len(line) < 12 {
		return h, fmt.Errorf("answer begins with %q, not with an HTTP status", line)
	}
	if h.code, err = strconv.Atoi(string(line[9:12])); err != nil {
		return h, fmt.Errorf("answer begins with %q, not with an HTTP status", line)
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		if len(line) <= 2 {
			return h, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return h, fmt.Errorf("read Content-Length: %w", err)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = true
		}
	}
}

// body is a reader of the answer's body, which must be read to its end before
// the next request.
func (c *conn) body(h head) (io.Reader, error) {
	switch {
	case h.chunked:
		return httputil.NewChunkedReader(c.in), nil
	case h.length >= 0:
		return io.LimitReader(c.in, int64(h.length)), nil
	}
	return nil, errors.New("answer has neither a length nor chunks")
}

// discard throws the body away and returns its size.
func (c *conn) discard(h head) (int, error) {
	if h.length >= 0 && !h.chunked {
		return c.in.Discard(h.length)
	}
	r, err := c.body(h)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return int(n), err
	}
	_, err = c.in.ReadSlice('\n') // the end of the last chunk
	return int(n), err
}

// do makes a request, throws the body away and returns its size. A code that is
// no success is an error.
func (c *conn) do(r request) (int, error) {
	if err := c.send(r); err != nil {
		return 0, err
	}
	h, err := c.readHead()
	if err != nil {
		return 0, err
	}
	if h.code >= 300 {
		return 0, c.refusal(r, h)
	}
	return c.discard(h)
}

// fetch makes a request and returns the body.
func (c *conn) fetch(r request) ([]byte, error) {
	if err := c.send(r); err != nil {
		return nil, err
	}
	h, err := c.readHead()
	if err != nil {
		return nil, err
	}
	if h.code >= 300 {
		return nil, c.refusal(r, h)
	}
	in, err := c.body(h)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(in)
	if err == nil && h.chunked {
		_, err = c.in.ReadSlice('\n')
	}
	return data, err
}

// refusedError is an answer that is no success.
type refusedError struct {
	code int
	text string
}

func (e *refusedError) Error() string { return e.text }

func (c *conn) refusal(r request, h head) error {
	text := []byte("?")
	if in, err := c.body(h); err == nil {
		if text, err = io.ReadAll(in); err == nil && h.chunked {
			_, _ = c.in.ReadSlice('\n')
		}
	}
	printable := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(text))
	return &refusedError{h.code, fmt.Sprintf("%s %s: %d %.300s", r.method, r.path, h.code, printable)}
}

// once makes one request on a connection of its own.
func (e endpoint) once(r request) ([]byte, error) {
	c, err := e.dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.fetch(r)
}

// kubeconfig is as much of the format as Skiff writes.
type kubeconfig struct {
	Clusters []struct {
		Cluster struct {
			Server string `json:"server"`
			CA     string `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			Certificate string `json:"client-certificate-data"`
			Key         string `json:"client-key-data"`
		} `json:"user"`
	} `json:"users"`
}

// readKubeconfig returns the only cluster of a kubeconfig, as its only user.
func readKubeconfig(file string) (endpoint, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return endpoint{}, err
	}
	var k kubeconfig
	if err := yaml.Unmarshal(data, &k); err != nil {
		return endpoint{}, fmt.Errorf("read %s: %w", file, err)
	}
	if len(k.Clusters) != 1 || len(k.Users) != 1 {
		return endpoint{}, fmt.Errorf("%s has %d clusters and %d users, want one of each", file, len(k.Clusters), len(k.Users))
	}
	var parts [3][]byte
	for i, text := range []string{k.Clusters[0].Cluster.CA, k.Users[0].User.Certificate, k.Users[0].User.Key} {
		if parts[i], err = base64.StdEncoding.DecodeString(text); err != nil {
			return endpoint{}, fmt.Errorf("read %s: %w", file, err)
		}
	}
	config, err := clientTLS(parts[0], parts[1], parts[2])
	if err != nil {
		return endpoint{}, fmt.Errorf("read %s: %w", file, err)
	}
	return endpoint{address: strings.TrimPrefix(k.Clusters[0].Cluster.Server, "https://"), tls: config}, nil
}

func clientTLS(ca, certificate, key []byte) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate of an authority")
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("read client certificate: %w", err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}, nil
}
