package pki

import (
	"fmt"
	"net/url"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// Kubeconfig says what goes into a kubeconfig file.
type Kubeconfig struct {
	Server  string // URL, such as https://10.0.0.1:6443
	Cluster string // name of the cluster and the context; "" = "skiff"
	User    string // "" = the pair's common name
	// Namespace that commands use by default; "" = none.
	Namespace string
}

// Encode writes the kubeconfig with everything embedded, so that the file
// works wherever it is copied.
func (k Kubeconfig) Encode(ca *Authority, pair *Pair) ([]byte, error) {
	u, err := url.Parse(k.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("kubeconfig: server %q: use a URL such as https://10.0.0.1:6443", k.Server)
	}
	if k.Cluster == "" {
		k.Cluster = "skiff"
	}
	if k.User == "" {
		k.User = pair.Cert.Subject.CommonName
	}
	text, err := yaml.Marshal(clientcmd.Config{
		Kind: "Config", APIVersion: "v1", CurrentContext: k.Cluster,
		Clusters: []clientcmd.NamedCluster{{Name: k.Cluster, Cluster: clientcmd.Cluster{
			Server: k.Server, CertificateAuthorityData: ca.CertPEM,
		}}},
		Contexts: []clientcmd.NamedContext{{Name: k.Cluster, Context: clientcmd.Context{
			Cluster: k.Cluster, AuthInfo: k.User, Namespace: k.Namespace,
		}}},
		AuthInfos: []clientcmd.NamedAuthInfo{{Name: k.User, AuthInfo: clientcmd.AuthInfo{
			ClientCertificateData: pair.CertPEM, ClientKeyData: pair.KeyPEM,
		}}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig: %w", err)
	}
	return text, nil
}
