package volume

import (
	"context"
	"fmt"
	"path"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

// File is one file of a volume that is made of API objects.
type File struct {
	Data []byte
	Mode int32
	// User owns the file where set; root does else.
	User *int64
}

// Sources answers what a pod's volumes refer to.
type Sources struct {
	ConfigMap func(name string) (*corev1.ConfigMap, bool)
	Secret    func(name string) (*corev1.Secret, bool)
	Field     func(path string) (string, error)
	Resource  func(ref *corev1.ResourceFieldSelector) (string, error)
	Token     func(ctx context.Context, audience string, seconds int64) (string, error)
	// TrustBundles returns the bundle of a name, or where that is "" all of a signer.
	TrustBundles func(name, signer string) []*certificatesv1.ClusterTrustBundle
	// Certificate returns the private key and the chain of certificates, both in
	// PEM, of a volume's source, which is named by the volume and its index there.
	Certificate func(ctx context.Context, volume string, source int, p *corev1.PodCertificateProjection) (key, chain []byte, err error)
	// Persistent returns the volume that is bound to the claim behind a pod's volume.
	Persistent func(ctx context.Context, v *corev1.Volume) (*corev1.PersistentVolume, error)
	// User owns the files of tokens, trust anchors and certificates: the one user of
	// all containers, or nil.
	User  *int64
	Group *int64 // fsGroup
}

// Projected reports whether a volume is made of API objects, so that it follows
// their changes.
func Projected(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil
}

// Payload returns the files of a projected volume by relative path.
func Payload(ctx context.Context, v *corev1.Volume, src Sources) (map[string]File, error) {
	files := map[string]File{}
	var err error
	switch {
	case v.ConfigMap != nil:
		err = configMap(files, src, v.ConfigMap.Name, v.ConfigMap.Items, mode(v.ConfigMap.DefaultMode), v.ConfigMap.Optional)
	case v.Secret != nil:
		err = secret(files, src, v.Secret.SecretName, v.Secret.Items, mode(v.Secret.DefaultMode), v.Secret.Optional)
	case v.DownwardAPI != nil:
		err = downward(files, src, v.DownwardAPI.Items, mode(v.DownwardAPI.DefaultMode))
	case v.Projected != nil:
		for i := range v.Projected.Sources {
			if err = projection(ctx, files, src, v, i); err != nil {
				break
			}
		}
	}
	return files, err
}

func mode(m *int32) int32 {
	if m == nil {
		return 0o644
	}
	return *m
}

func projection(ctx context.Context, files map[string]File, src Sources, v *corev1.Volume, index int) error {
	p, mode := &v.Projected.Sources[index], mode(v.Projected.DefaultMode)
	switch {
	case p.ConfigMap != nil:
		return configMap(files, src, p.ConfigMap.Name, p.ConfigMap.Items, mode, p.ConfigMap.Optional)
	case p.Secret != nil:
		return secret(files, src, p.Secret.Name, p.Secret.Items, mode, p.Secret.Optional)
	case p.DownwardAPI != nil:
		return downward(files, src, p.DownwardAPI.Items, mode)
	case p.ServiceAccountToken != nil:
		return token(ctx, files, src, p.ServiceAccountToken, mode)
	case p.ClusterTrustBundle != nil:
		return trustAnchors(files, src, p.ClusterTrustBundle, mode)
	case p.PodCertificate != nil:
		return certificate(ctx, files, src, v, index, mode)
	}
	return fmt.Errorf("projected source is not supported: use configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle or podCertificate")
}

func configMap(files map[string]File, src Sources, name string, items []corev1.KeyToPath, mode int32, optional *bool) error {
	cm, ok := src.ConfigMap(name)
	if !ok {
		return unless(optional, fmt.Errorf("configmap %q not found", name))
	}
	data := make(map[string][]byte, len(cm.Data)+len(cm.BinaryData))
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	for k, v := range cm.BinaryData {
		data[k] = v
	}
	return pick(files, data, items, mode, optional, "config")
}

func secret(files map[string]File, src Sources, name string, items []corev1.KeyToPath, mode int32, optional *bool) error {
	s, ok := src.Secret(name)
	if !ok {
		return unless(optional, fmt.Errorf("secret %q not found", name))
	}
	return pick(files, s.Data, items, mode, optional, "secret")
}

// pick takes all data, or the items of it.
func pick(files map[string]File, data map[string][]byte, items []corev1.KeyToPath, mode int32, optional *bool, what string) error {
	if len(items) == 0 {
		for k, v := range data {
			files[k] = File{Data: v, Mode: mode}
		}
		return nil
	}
	for _, item := range items {
		v, ok := data[item.Key]
		if !ok {
			if err := unless(optional, fmt.Errorf("references non-existent %s key: %s", what, item.Key)); err != nil {
				return err
			}
			continue
		}
		if err := put(files, item.Path, v, item.Mode, mode); err != nil {
			return err
		}
	}
	return nil
}

func put(files map[string]File, name string, data []byte, own *int32, mode int32) error {
	if own != nil {
		mode = *own
	}
	clean := path.Clean(name)
	if path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "..") {
		return fmt.Errorf("invalid path: must not start with '..' or be absolute: %s", name)
	}
	files[clean] = File{Data: data, Mode: mode}
	return nil
}

func downward(files map[string]File, src Sources, items []corev1.DownwardAPIVolumeFile, mode int32) error {
	for i := range items {
		item := &items[i]
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = src.Field(item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			value, err = src.Resource(item.ResourceFieldRef)
		}
		if err != nil {
			return err
		}
		if err := put(files, item.Path, []byte(value), item.Mode, mode); err != nil {
			return err
		}
	}
	return nil
}

func token(ctx context.Context, files map[string]File, src Sources, p *corev1.ServiceAccountTokenProjection, mode int32) error {
	seconds := int64(3600)
	if p.ExpirationSeconds != nil {
		seconds = *p.ExpirationSeconds
	}
	value, err := src.Token(ctx, p.Audience, seconds)
	if err != nil {
		return err
	}
	return putOwned(files, src, p.Path, []byte(value), mode)
}

// putOwned adds a file that belongs to the pod's user.
func putOwned(files map[string]File, src Sources, name string, data []byte, mode int32) error {
	if src.User != nil || src.Group != nil {
		mode = 0o600
	}
	if err := put(files, name, data, nil, mode); err != nil {
		return err
	}
	f := files[path.Clean(name)]
	f.User = src.User
	files[path.Clean(name)] = f
	return nil
}

func unless(optional *bool, err error) error {
	if optional != nil && *optional {
		return nil
	}
	return err
}
