package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/distribution/reference"
	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

// errNotArchive is completed with what was found instead.
var errNotArchive = errors.New("not an image archive")

// Names reads which images an archive (OCI, or Docker's; plain or gzipped)
// holds, and rewinds it. Images that the archive gives only a tag, or nothing,
// are named after prefix.
func Names(r io.ReadSeeker, prefix string) ([]string, error) {
	defer r.Seek(0, io.SeekStart)
	plain, err := unzipped(r)
	if err != nil {
		return nil, err
	}
	var index *oci.Index
	var docker []struct{ RepoTags []string }
	for t := tar.NewReader(plain); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w (%w); make one with docker save, podman save or skopeo copy", errNotArchive, err)
		}
		switch path.Clean(h.Name) {
		case oci.ImageIndexFile:
			index = new(oci.Index)
			err = json.NewDecoder(t).Decode(index)
		case "manifest.json":
			err = json.NewDecoder(t).Decode(&docker)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", h.Name, err)
		}
	}
	switch {
	case index != nil:
		return ociNames(*index, prefix)
	case docker != nil:
		return dockerNames(docker)
	}
	return nil, fmt.Errorf("%w (it holds neither index.json nor manifest.json); make one with docker save, podman save or skopeo copy", errNotArchive)
}

func unzipped(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	magic, _ := b.Peek(2)
	if string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("unzip: %w", err)
		}
		return z, nil
	}
	if s, ok := r.(io.Seeker); ok { // unbuffered, so that the tar reader skips by seeking
		_, err := s.Seek(0, io.SeekStart)
		return r, err
	}
	return b, nil
}

// ociNames follows containerd's rules for naming what it imports.
func ociNames(index oci.Index, prefix string) ([]string, error) {
	var names []string
	for _, m := range index.Manifests {
		name := m.Annotations["io.containerd.image.name"]
		if name == "" {
			name = m.Annotations[oci.AnnotationRefName]
			if name != "" && !strings.ContainsAny(name, "/:@") {
				name = prefix + ":" + name
			}
		}
		if name == "" {
			name = prefix + "@" + m.Digest.String()
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, errors.New("the archive's index.json lists no image")
	}
	return names, nil
}

func dockerNames(docker []struct{ RepoTags []string }) ([]string, error) {
	var names []string
	for _, d := range docker {
		for _, tag := range d.RepoTags {
			n, err := reference.ParseDockerRef(tag)
			if err != nil {
				return nil, fmt.Errorf("image name %q: %w", tag, err)
			}
			names = append(names, n.String())
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the archive names no image: save it by name (docker save NAME:TAG), not by id")
	}
	return names, nil
}
