// Package registry serves the images of an archive over HTTP, as a registry that
// a container engine pulls from (OCI distribution specification, pull alone).
package registry

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

// Registry is an open archive. It implements http.Handler.
type Registry struct {
	file      *os.File
	blobs     map[string]blob           // by digest
	manifests map[string]oci.Descriptor // by full name, tag included
}

// blob is where a blob lies in the archive.
type blob struct{ offset, size int64 }

// Open reads what an OCI archive holds. Its blobs stay in the file.
func Open(archive string) (*Registry, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	r := &Registry{file: file, blobs: map[string]blob{}, manifests: map[string]oci.Descriptor{}}
	if err := r.index(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", archive, err), file.Close())
	}
	return r, nil
}

// Close closes the archive.
func (r *Registry) Close() error { return r.file.Close() }

func (r *Registry) index() error {
	for t := tar.NewReader(r.file); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if name == oci.ImageIndexFile {
			var index oci.Index
			if err := json.NewDecoder(t).Decode(&index); err != nil {
				return err
			}
			for _, m := range index.Manifests {
				r.manifests[m.Annotations["io.containerd.image.name"]] = m
			}
		}
		if algorithm, hex := path.Split(strings.TrimPrefix(name, oci.ImageBlobsDir+"/")); algorithm == "sha256/" {
			offset, err := r.file.Seek(0, io.SeekCurrent) // the reader is at the blob's first byte
			if err != nil {
				return err
			}
			r.blobs["sha256:"+hex] = blob{offset, h.Size}
		}
	}
}

// Hosts are the registries that the images' names begin with.
func (r *Registry) Hosts() []string {
	hosts, seen := []string{}, map[string]bool{}
	for name := range r.manifests {
		if host, _, _ := strings.Cut(name, "/"); !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// WriteHosts makes the directory for "skiff up --registries" by which all of
// these registries are found at url.
func (r *Registry) WriteHosts(dir, url string) error {
	for _, host := range r.Hosts() {
		text := fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
		if err := os.MkdirAll(filepath.Join(dir, host), 0o755); err != nil {
			return fmt.Errorf("name the registry: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, host, "hosts.toml"), []byte(text), 0o644); err != nil {
			return fmt.Errorf("name the registry: %w", err)
		}
	}
	return nil
}

// ServeHTTP answers /v2/, /v2/NAME/manifests/REFERENCE and /v2/NAME/blobs/DIGEST.
// A mirror is told the registry that it stands for by the parameter ns.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	rest, ok := strings.CutPrefix(q.URL.Path, "/v2/")
	if !ok || rest == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	dir, reference := path.Split(rest)
	repository, kind := path.Split(strings.TrimSuffix(dir, "/"))
	media := "application/octet-stream"
	if kind == "manifests" {
		m, ok := r.manifests[path.Join(q.URL.Query().Get("ns"), repository)+":"+reference]
		if ok {
			reference = m.Digest.String()
		}
		media = r.mediaType(reference)
	}
	b, ok := r.blobs[reference]
	if !ok {
		http.NotFound(w, q)
		return
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Docker-Content-Digest", reference)
	http.ServeContent(w, q, "", time.Time{}, io.NewSectionReader(r.file, b.offset, b.size))
}

// mediaType is what a manifest says of itself; archives say it of the outermost
// only.
func (r *Registry) mediaType(digest string) string {
	b := r.blobs[digest]
	var manifest struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	err := json.NewDecoder(io.NewSectionReader(r.file, b.offset, b.size)).Decode(&manifest)
	switch {
	case err == nil && manifest.MediaType != "":
		return manifest.MediaType
	case err == nil && len(manifest.Manifests) > 0:
		return oci.MediaTypeImageIndex
	}
	return oci.MediaTypeImageManifest
}
