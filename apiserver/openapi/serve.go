package openapi

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/munnerz/goautoneg"
)

// Media types of the protobuf forms, the second name of each being what older
// clients ask for.
var (
	namesV2 = []string{"com.github.proto-openapi.spec.v2.v1.0+protobuf", "com.github.proto-openapi.spec.v2@v1.0+protobuf"}
	namesV3 = []string{"com.github.proto-openapi.spec.v3.v1.0+protobuf", "com.github.proto-openapi.spec.v3@v1.0+protobuf"}
)

// ServeHTTP answers for /openapi/v3, the documents below it, and /openapi/v2.
func (s *Schemas) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/openapi/v2" {
		doc, err := s.v2()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		s.negotiated(w, r, doc, namesV2, nil)
		return
	}
	all, err := s.v3()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if r.URL.Path == "/openapi/v3" {
		s.serve(w, r, all.index, "text/plain; charset=utf-8") // as upstream's, which is JSON too
		return
	}
	document := strings.TrimPrefix(r.URL.Path, "/openapi/v3/")
	doc := all.byPath[document]
	if doc == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.negotiated(w, r, doc, namesV3, func() bool { return hashed(w, r, document, doc.hash) })
}

// negotiated serves the form that the client likes best. proceed, if given, has
// the last word.
func (s *Schemas) negotiated(w http.ResponseWriter, r *http.Request, doc *packed, protobuf []string, proceed func() bool) {
	w.Header().Add("Vary", "Accept")
	accept := r.Header.Get("Accept")
	if accept == "" {
		accept = "*/*"
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		if clause.Type != "application" && clause.Type != "*" {
			continue
		}
		media := "application/" + protobuf[0]
		switch clause.SubType {
		case "json", "*":
			media = "application/json"
		case protobuf[0], protobuf[1]:
		default:
			continue
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("Etag", strconv.Quote(doc.hash))
		if proceed == nil || proceed() {
			s.serve(w, r, doc, media)
		}
		return
	}
	w.WriteHeader(http.StatusNotAcceptable)
}

// hashed handles a hash in the query: a document of that hash never changes, and
// who asks for another is sent to what there is.
func hashed(w http.ResponseWriter, r *http.Request, document, hash string) bool {
	wanted := r.URL.Query().Get("hash")
	if wanted == "" {
		return true
	}
	if wanted != hash {
		http.Redirect(w, r, relativeURL(document, hash), http.StatusMovedPermanently)
		return false
	}
	w.Header().Set("Cache-Control", "public, immutable")
	w.Header().Set("Expires", time.Now().AddDate(1, 0, 0).Format(time.RFC1123))
	return true
}

// serve answers with a document, compressed as it is kept if the client can
// read that. The hash is that of the JSON in every form, as upstream's.
func (s *Schemas) serve(w http.ResponseWriter, r *http.Request, doc *packed, media string) {
	h := w.Header()
	h.Set("Content-Type", media)
	var data []byte
	var err error
	switch {
	case strings.HasSuffix(media, "+protobuf"):
		data, err = doc.protobuf()
	case strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Header.Get("Range") == "":
		h.Add("Vary", "Accept-Encoding")
		h.Set("Content-Encoding", "gzip")
		data = doc.zipped
	default:
		h.Add("Vary", "Accept-Encoding")
		data, err = doc.json()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	http.ServeContent(w, r, "", s.made, bytes.NewReader(data))
}
