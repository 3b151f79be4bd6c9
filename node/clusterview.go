package node

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// clusterView is a Cluster that a view answers.
type clusterView struct{ v *view.View }

// ConfigMap implements Cluster.
func (c clusterView) ConfigMap(namespace, name string) (*corev1.ConfigMap, bool) {
	return view.Get(c.v, resource.ConfigMaps, namespace, name)
}

// Secret implements Cluster.
func (c clusterView) Secret(namespace, name string) (*corev1.Secret, bool) {
	return view.Get(c.v, resource.Secrets, namespace, name)
}

// Services implements Cluster.
func (c clusterView) Services(namespace string) []*corev1.Service {
	return slices.Collect(view.List(c.v, resource.Services, namespace))
}

// handler returns what of the runtime runs a pod: that of its RuntimeClass, or ""
// for the usual one (KEP-585). Errors are upstream's words.
func (c clusterView) handler(pod *corev1.Pod) (string, error) {
	name := pod.Spec.RuntimeClassName
	if name == nil || *name == "" {
		return "", nil
	}
	class, ok := view.Get(c.v, resource.RuntimeClasses, "", *name)
	if !ok {
		return "", fmt.Errorf("failed to get sandbox runtime: failed to get RuntimeClass %s: runtimeclass.node.k8s.io %q not found", *name, *name)
	}
	return class.Handler, nil
}

// TrustBundles returns the bundle of a name, or where that is "" all of a signer.
func (c clusterView) TrustBundles(name, signer string) []*certificatesv1.ClusterTrustBundle {
	if name != "" {
		if b, ok := view.Get(c.v, resource.ClusterTrustBundles, "", name); ok {
			return []*certificatesv1.ClusterTrustBundle{b}
		}
		return nil
	}
	var out []*certificatesv1.ClusterTrustBundle
	for b := range view.List(c.v, resource.ClusterTrustBundles, "") {
		if b.Spec.SignerName == signer {
			out = append(out, b)
		}
	}
	return out
}

// trusts reports whether a pod's volumes may show a trust bundle.
func trusts(pod *corev1.Pod, b *certificatesv1.ClusterTrustBundle) bool {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Projected == nil {
			continue
		}
		for _, s := range pod.Spec.Volumes[i].Projected.Sources {
			t := s.ClusterTrustBundle
			if t != nil && (t.Name != nil && *t.Name == b.Name || t.SignerName != nil && *t.SignerName == b.Spec.SignerName) {
				return true
			}
		}
	}
	return false
}

// refersTo reports whether a pod's volumes or environment name a ConfigMap or
// Secret; "" asks for none.
func refersTo(pod *corev1.Pod, configMap, secret string) bool {
	for name := range resource.PodConfigMaps(pod) {
		if name == configMap {
			return true
		}
	}
	for name := range resource.PodSecrets(pod) {
		if name == secret {
			return true
		}
	}
	return false
}

// pullAuth returns the credentials to try for an image, from the pod's pull
// secrets: all that match its registry, or none at all.
func pullAuth(pod *corev1.Pod, image string, cluster Cluster) []*runtimeapi.AuthConfig {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return []*runtimeapi.AuthConfig{nil}
	}
	var out []*runtimeapi.AuthConfig
	for _, ref := range pod.Spec.ImagePullSecrets {
		if secret, ok := cluster.Secret(pod.Namespace, ref.Name); ok {
			out = append(out, secretAuth(secret, named)...)
		}
	}
	if len(out) == 0 {
		return []*runtimeapi.AuthConfig{nil}
	}
	return out
}

func secretAuth(secret *corev1.Secret, image reference.Named) []*runtimeapi.AuthConfig {
	type entry struct{ Username, Password, Auth, IdentityToken, RegistryToken string }
	var file struct{ Auths map[string]entry }
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		if json.Unmarshal(secret.Data[corev1.DockerConfigJsonKey], &file) != nil {
			return nil
		}
	case corev1.SecretTypeDockercfg:
		if json.Unmarshal(secret.Data[corev1.DockerConfigKey], &file.Auths) != nil {
			return nil
		}
	}
	var out []*runtimeapi.AuthConfig
	for server, e := range file.Auths {
		if !serves(server, image) {
			continue
		}
		if plain, err := base64.StdEncoding.DecodeString(e.Auth); err == nil && e.Username == "" {
			e.Username, e.Password, _ = strings.Cut(string(plain), ":")
		}
		out = append(out, &runtimeapi.AuthConfig{
			Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken,
		})
	}
	return out
}

// serves reports whether credentials for a server are for an image.
func serves(server string, image reference.Named) bool {
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	server = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(server, "/"), "/v1"), "/v2")
	if server == "index.docker.io" {
		server = "docker.io"
	}
	return server == reference.Domain(image) || strings.HasPrefix(image.Name(), server+"/")
}
