package apiserver

import (
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// Large answers are compressed for who accepts that, from upstream's size on
// and as fast as upstream does.
const (
	gzipFrom  = 128 << 10
	gzipLevel = 1
)

var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzipLevel)
	if err != nil {
		panic("make gzip writer: " + err.Error()) // the level is a constant
	}
	return w
}}

// gzipResponse holds an answer back until it is clear whether it is large. Its
// user calls close at the end.
type gzipResponse struct {
	http.ResponseWriter
	code int
	held []byte
	zip  *gzip.Writer // once it is large
}

// compressed returns a writer that compresses large answers, if the client
// accepts that, and what to call at the end.
func compressed(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, func()) {
	if !acceptsGzip(r.Header.Get("Accept-Encoding")) {
		return w, func() {}
	}
	g := &gzipResponse{ResponseWriter: w}
	return g, g.close
}

func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if name, _, _ := strings.Cut(part, ";"); strings.TrimSpace(name) == "gzip" {
			return true
		}
	}
	return false
}

// Unwrap lets http.ResponseController reach the connection.
func (g *gzipResponse) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (g *gzipResponse) WriteHeader(code int) { g.code = code }

// Write implements http.ResponseWriter.
func (g *gzipResponse) Write(data []byte) (int, error) {
	if g.zip != nil {
		return g.zip.Write(data)
	}
	if len(g.held)+len(data) < gzipFrom {
		g.held = append(g.held, data...)
		return len(data), nil
	}
	h := g.Header()
	h.Set("Content-Encoding", "gzip")
	h.Add("Vary", "Accept-Encoding")
	h.Del("Content-Length")
	g.begin()
	g.zip = gzipWriters.Get().(*gzip.Writer)
	g.zip.Reset(g.ResponseWriter)
	if _, err := g.zip.Write(g.held); err != nil {
		return 0, err
	}
	g.held = nil
	return g.zip.Write(data)
}

func (g *gzipResponse) begin() {
	if g.code != 0 {
		g.ResponseWriter.WriteHeader(g.code)
	}
}

func (g *gzipResponse) close() {
	if g.zip == nil {
		g.begin()
		if len(g.held) > 0 {
			_, _ = g.ResponseWriter.Write(g.held) // a client that is gone is no concern of the server's
		}
		return
	}
	_ = g.zip.Close() // as above
	gzipWriters.Put(g.zip)
}
