package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
)

// read gets a JSON document.
func (s *server) read(ctx context.Context, path string, into any) error {
	a := s.do(ctx, request{method: http.MethodGet, path: path})
	if a.err != nil {
		return fmt.Errorf("get %s: %w", path, a.err)
	}
	if a.code != http.StatusOK {
		return fmt.Errorf("get %s: %d %s", path, a.code, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// documents returns all OpenAPI v3 documents by path.
func (s *server) documents(ctx context.Context) (map[string]map[string]any, error) {
	var index struct {
		Paths map[string]struct {
			ServerRelativeURL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := s.read(ctx, "/openapi/v3", &index); err != nil {
		return nil, err
	}
	all := map[string]map[string]any{}
	for path, at := range index.Paths {
		var doc map[string]any
		if err := s.read(ctx, at.ServerRelativeURL, &doc); err != nil {
			return nil, err
		}
		all[path] = doc
	}
	return all, nil
}

// collect writes the schemas of everything that a server describes, for
// apiserver/openapi to embed. They are in the form of OpenAPI v3; the kinds of
// each are those of v2, which lists them for all groups in one place.
func (s *server) collect(ctx context.Context, file string) error {
	docs, err := s.documents(ctx)
	if err != nil {
		return err
	}
	schemas := map[string]map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(docs)) {
		found, _ := at(docs[path], "components.schemas").(map[string]any)
		for name, schema := range found {
			schemas[name], _ = schema.(map[string]any)
		}
	}
	var v2 struct{ Definitions map[string]map[string]any }
	if err := s.read(ctx, "/openapi/v2", &v2); err != nil {
		return err
	}
	const kinds = "x-kubernetes-group-version-kind"
	for name, schema := range v2.Definitions {
		if schemas[name] != nil && schema[kinds] != nil {
			schemas[name][kinds] = schema[kinds]
		}
	}
	return writeZipped(file, schemas)
}

func writeZipped(file string, value any) error {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(zip).Encode(value); err != nil {
		return fmt.Errorf("encode %s: %w", file, err)
	}
	if err := zip.Close(); err != nil {
		return fmt.Errorf("compress %s: %w", file, err)
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}
