// Package image makes OCI images from files, without a container tool or a
// registry, and loads image archives into containerd. Building is pure: the
// same files give the same bytes, and so the same digests, everywhere.
package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	oci "github.com/opencontainers/image-spec/specs-go/v1"
)

// File is a file, directory or symbolic link of a layer.
type File struct {
	Path     string      // in the image; a leading slash is optional
	Mode     fs.FileMode // with fs.ModeDir, fs.ModeSymlink, fs.ModeSetuid, fs.ModeSticky as needed
	Data     []byte      // of a file
	Link     string      // of a symbolic link
	UID, GID int
}

// Layer is one layer's tar archive, not compressed: images of one machine are
// loaded faster so, and nothing but their contents decides their bytes.
type Layer struct {
	tar    []byte
	digest digest.Digest
}

// Digest is both the layer's digest and its diff id.
func (l Layer) Digest() digest.Digest { return l.digest }

// NewLayer packs files, sorted by path, with the directories they need. All
// are dated 1970. Of two files with one path the later counts.
func NewLayer(files []File) (Layer, error) {
	all := map[string]File{}
	for _, f := range files {
		p := strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		if p == "" {
			continue
		}
		f.Path = p
		all[p] = f
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = File{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	paths := make([]string, 0, len(all))
	for p := range all {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		if err := writeFile(w, all[p]); err != nil {
			return Layer{}, fmt.Errorf("pack %s: %w", p, err)
		}
	}
	if err := w.Close(); err != nil {
		return Layer{}, fmt.Errorf("pack layer: %w", err)
	}
	return Layer{buf.Bytes(), digest.FromBytes(buf.Bytes())}, nil
}

func writeFile(w *tar.Writer, f File) error {
	h := &tar.Header{Name: f.Path, Uid: f.UID, Gid: f.GID, Mode: unixMode(f.Mode), Typeflag: tar.TypeReg}
	switch {
	case f.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, f.Path+"/"
	case f.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
	case f.Mode.IsRegular():
		h.Size = int64(len(f.Data))
	default:
		return fmt.Errorf("mode %s: only files, directories and symbolic links can be packed", f.Mode)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeReg {
		_, err := w.Write(f.Data)
		return err
	}
	return nil
}

func unixMode(m fs.FileMode) int64 {
	out := int64(m.Perm())
	for bit, v := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			out |= v
		}
	}
	return out
}

// FromDisk reads a file, or a directory with all below it, as prefix in the
// image. Owners become root.
func FromDisk(root, prefix string) ([]File, error) {
	var out []File
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f := File{Path: path.Join(prefix, filepath.ToSlash(rel)), Mode: info.Mode()}
		switch {
		case f.Mode.IsRegular():
			f.Data, err = os.ReadFile(p)
		case f.Mode&fs.ModeSymlink != 0:
			f.Link, err = os.Readlink(p)
		}
		out = append(out, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read files for an image: %w", err)
	}
	return out, nil
}

// Image is a name and what it stands for on each architecture.
type Image struct {
	Name     string // full reference, such as "localhost/guestbook:1"
	Variants []Variant
}

// Variant is an image for one architecture.
type Variant struct {
	Arch   string // GOARCH
	Config oci.ImageConfig
	Layers []Layer
}

// WriteArchive writes images as one OCI archive, the form that containerd,
// podman and skopeo load. Layers that images share are written once.
func WriteArchive(w io.Writer, images ...Image) error {
	a := archive{tar: tar.NewWriter(w), seen: map[digest.Digest]bool{}}
	layout, _ := json.Marshal(oci.ImageLayout{Version: oci.ImageLayoutVersion})
	a.add(oci.ImageLayoutFile, layout)
	top := oci.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageIndex}
	for _, img := range images {
		d := a.image(img)
		d.Annotations = map[string]string{
			"io.containerd.image.name": img.Name,
			oci.AnnotationRefName:      img.Name[strings.LastIndexByte(img.Name, ':')+1:],
		}
		top.Manifests = append(top.Manifests, d)
	}
	data, err := json.Marshal(top)
	if err != nil {
		return fmt.Errorf("write image archive: %w", err)
	}
	a.add(oci.ImageIndexFile, data)
	if a.err == nil {
		a.err = a.tar.Close()
	}
	if a.err != nil {
		return fmt.Errorf("write image archive: %w", a.err)
	}
	return nil
}

// archive keeps the first error, so that the callers stay readable.
type archive struct {
	tar  *tar.Writer
	seen map[digest.Digest]bool
	err  error
}

func (a *archive) add(name string, data []byte) {
	if a.err == nil {
		a.err = writeFile(a.tar, File{Path: name, Mode: 0o644, Data: data})
	}
}

func (a *archive) blob(mediaType string, data []byte) oci.Descriptor {
	d := oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if !a.seen[d.Digest] {
		a.seen[d.Digest] = true
		a.add(path.Join(oci.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded()), data)
	}
	return d
}

func (a *archive) json(mediaType string, v any) oci.Descriptor {
	data, err := json.Marshal(v)
	if a.err == nil {
		a.err = err
	}
	return a.blob(mediaType, data)
}

// image writes one image: its manifest or, of several variants, their index.
func (a *archive) image(img Image) oci.Descriptor {
	index := oci.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageIndex}
	for _, v := range img.Variants {
		platform := oci.Platform{OS: "linux", Architecture: v.Arch}
		config := oci.Image{Platform: platform, Config: v.Config, RootFS: oci.RootFS{Type: "layers"}}
		manifest := oci.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: oci.MediaTypeImageManifest}
		for _, l := range v.Layers {
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.digest)
			manifest.Layers = append(manifest.Layers, a.blob(oci.MediaTypeImageLayer, l.tar))
		}
		manifest.Config = a.json(oci.MediaTypeImageConfig, config)
		d := a.json(oci.MediaTypeImageManifest, manifest)
		d.Platform = &platform
		index.Manifests = append(index.Manifests, d)
	}
	if len(index.Manifests) == 1 {
		return index.Manifests[0]
	}
	return a.json(oci.MediaTypeImageIndex, index)
}
