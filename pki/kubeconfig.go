package pki

import (
	"fmt"
	"net/url"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// Kubeconfig returns a kubeconfig by which user reaches a server, with all
// certificates in it.
func Kubeconfig(name, server string, authority, user *Pair) ([]byte, error) {
	if u, err := url.Parse(server); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("encode kubeconfig: server %q: use a URL such as https://10.0.0.1:6443", server)
	}
	key, err := user.KeyPEM()
	if err != nil {
		return nil, err
	}
	config := clientcmd.Config{
		Kind: "Config", APIVersion: "v1", CurrentContext: name,
		Clusters: []clientcmd.NamedCluster{{Name: name, Cluster: clientcmd.Cluster{
			Server: server, CertificateAuthorityData: authority.CertificatePEM(),
		}}},
		AuthInfos: []clientcmd.NamedAuthInfo{{Name: name, AuthInfo: clientcmd.AuthInfo{
			ClientCertificateData: user.CertificatePEM(), ClientKeyData: key,
		}}},
		Contexts: []clientcmd.NamedContext{{Name: name, Context: clientcmd.Context{Cluster: name, AuthInfo: name}}},
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig: %w", err)
	}
	return data, nil
}
