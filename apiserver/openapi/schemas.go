// Package openapi describes the API in the form that clients read: OpenAPI v3
// by group and version, and v2 as a whole. The paths follow from discovery, the
// schemas are collected from upstream. Documents are made when first asked for
// and kept as compressed bytes.
package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Schemas answers requests below /openapi.
type Schemas struct {
	made time.Time
	// version is of the API: "1.37".
	version   string
	resources map[schema.GroupVersion][]metav1.APIResource
	v3        func() (*documentsV3, error)
	v2        func() (*packed, error)
}

// documentsV3 are the documents by path ("api/v1", "apis/apps/v1"), and the
// list of them.
type documentsV3 struct {
	byPath map[string]*packed
	index  *packed
}

// packed is a document as gzipped JSON. The protobuf form is made when asked
// for; few ask.
type packed struct {
	zipped   []byte
	hash     string
	protobuf func() ([]byte, error)
}

// New describes what discovery lists. now is for Last-Modified.
func New(resources map[schema.GroupVersion][]metav1.APIResource, version string, now time.Time) *Schemas {
	s := &Schemas{made: now, version: version, resources: resources}
	s.v3, s.v2 = sync.OnceValues(s.makeV3), sync.OnceValues(s.makeV2)
	return s
}

// eachPaths calls a function with the paths of every document, and the group
// version that it is about.
func (s *Schemas) eachPaths(d *definitions, each func(document string, p paths, gv schema.GroupVersion)) {
	var groups []string
	for gv, list := range s.resources {
		p := d.groupPaths(gv, list)
		for _, served := range p {
			served.common()
		}
		each(root(gv), p, gv)
		if gv.Group != "" && !slices.Contains(groups, gv.Group) {
			groups = append(groups, gv.Group)
		}
	}
	for document, p := range d.aboutPaths(groups) {
		each(document, p, schema.GroupVersion{})
	}
}

func (s *Schemas) makeV3() (*documentsV3, error) {
	d, err := readDefinitions()
	if err != nil {
		return nil, err
	}
	out := &documentsV3{byPath: map[string]*packed{}}
	index := object{}
	s.eachPaths(d, func(document string, p paths, gv schema.GroupVersion) {
		var packed *packed
		if packed, err = pack(d.documentV3(p, s.version, gv), protobufV3); err != nil {
			return
		}
		out.byPath[document] = packed
		index[document] = object{"serverRelativeURL": relativeURL(document, packed.hash)}
	})
	if err != nil {
		return nil, err
	}
	out.index, err = pack(object{"paths": index}, nil)
	return out, err
}

func relativeURL(document, hash string) string {
	return (&url.URL{Path: "/openapi/v3/" + document, RawQuery: "hash=" + hash}).String()
}

func (s *Schemas) makeV2() (*packed, error) {
	d, err := readDefinitions()
	if err != nil {
		return nil, err
	}
	all := paths{}
	s.eachPaths(d, func(_ string, p paths, _ schema.GroupVersion) { maps.Copy(all, p) })
	return pack(d.documentV2(all, s.version), protobufV2)
}

// pack encodes a document.
func pack(doc object, protobuf func([]byte) ([]byte, error)) (*packed, error) {
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("compress OpenAPI document: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress OpenAPI document: %w", err)
	}
	p := &packed{zipped: bytes.Clone(zipped.Bytes()), hash: fmt.Sprintf("%X", sha512.Sum512(data))}
	if protobuf == nil {
		return p, nil
	}
	p.protobuf = sync.OnceValues(func() ([]byte, error) {
		data, err := p.json()
		if err != nil {
			return nil, err
		}
		return protobuf(data)
	})
	return p, nil
}

func (p *packed) json() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(p.zipped))
	if err != nil {
		return nil, fmt.Errorf("unpack OpenAPI document: %w", err)
	}
	return io.ReadAll(r)
}

func protobufV3(data []byte) ([]byte, error) {
	doc, err := openapi_v3.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("parse OpenAPI v3 document: %w", err)
	}
	return proto.Marshal(doc)
}

func protobufV2(data []byte) ([]byte, error) {
	doc, err := openapi_v2.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("parse OpenAPI v2 document: %w", err)
	}
	return proto.Marshal(doc)
}
