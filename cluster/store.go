package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/skiff-sh/skiff/store/etcd"
)

// EtcdConfig is how to reach an etcd that runs by itself. The zero value is the
// one within the server's process.
type EtcdConfig struct {
	// Servers are the client URLs.
	Servers []string `json:"servers,omitempty"`
	// CAFile is the authority of the servers' certificates; CertFile and KeyFile
	// are what this server shows them. All in PEM.
	CAFile   string `json:"caFile,omitempty"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
}

func (e *EtcdConfig) validate() error {
	var errs []error
	for _, server := range e.Servers {
		u, err := url.Parse(server)
		if err != nil || !(u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") || u.Path != "" && u.Scheme == "unix") {
			errs = append(errs, fmt.Errorf("--etcd-servers %q: give URLs such as https://10.0.0.1:2379, separated by commas", server))
		}
	}
	if len(e.Servers) == 0 && (e.CAFile != "" || e.CertFile != "" || e.KeyFile != "") {
		errs = append(errs, errors.New("--etcd-cafile, --etcd-certfile and --etcd-keyfile are for --etcd-servers: give that too"))
	}
	if (e.CertFile == "") != (e.KeyFile == "") {
		errs = append(errs, errors.New("--etcd-certfile and --etcd-keyfile belong together: give both, or neither"))
	}
	return errors.Join(errs...)
}

// openStore opens the store that the configuration names.
func openStore(ctx context.Context, c *Config) (*etcd.Store, error) {
	if len(c.Etcd.Servers) == 0 {
		return etcd.Embed(etcd.Config{Dir: c.Paths().Etcd()})
	}
	config, err := c.Etcd.tls()
	if err != nil {
		return nil, err
	}
	return etcd.Connect(ctx, etcd.Remote{Endpoints: c.Etcd.Servers, TLS: config})
}

// tls returns nil where no file is given.
func (e *EtcdConfig) tls() (*tls.Config, error) {
	if e.CAFile == "" && e.CertFile == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		data, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--etcd-cafile: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("--etcd-cafile %s: it holds no certificate in PEM", e.CAFile)
		}
	}
	if e.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("--etcd-certfile, --etcd-keyfile: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
