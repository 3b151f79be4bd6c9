package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-sh/skiff/image"
)

// TestPull asks as a container engine does: the manifest by its tag, then by its
// digest, then a layer.
func TestPull(t *testing.T) {
	layer, err := image.NewLayer([]image.File{{Path: "hello", Mode: 0o644, Data: []byte("hello")}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "images.tar")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := image.WriteArchive(out, image.Image{Name: "example.com/a/b:1", Variants: []image.Variant{{Arch: "amd64", Layers: []image.Layer{layer}}}}); err != nil {
		t.Fatal(err)
	}
	r, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if hosts := r.Hosts(); !slices.Equal(hosts, []string{"example.com"}) {
		t.Errorf("hosts %v", hosts)
	}
	server := httptest.NewServer(r)
	defer server.Close()
	ask := func(path string) (*http.Response, string) {
		t.Helper()
		res, err := http.Get(server.URL + "/v2/" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	res, manifest := ask("a/b/manifests/1?ns=example.com")
	digest := res.Header.Get("Docker-Content-Digest")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != oci.MediaTypeImageManifest || !strings.Contains(manifest, layer.Digest().String()) {
		t.Errorf("manifest by tag: %s %v %s", res.Status, res.Header, manifest)
	}
	if res, same := ask("a/b/manifests/" + digest + "?ns=example.com"); res.StatusCode != http.StatusOK || same != manifest {
		t.Errorf("manifest by digest: %s %s", res.Status, same)
	}
	if res, body := ask("a/b/blobs/" + layer.Digest().String()); res.StatusCode != http.StatusOK || !strings.Contains(body, "hello") {
		t.Errorf("layer: %s, %d bytes", res.Status, len(body))
	}
	for _, path := range []string{"a/b/manifests/2?ns=example.com", "a/b/manifests/1?ns=example.org", "a/b/blobs/sha256:0"} {
		if res, _ := ask(path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s, want not found", path, res.Status)
		}
	}
}
