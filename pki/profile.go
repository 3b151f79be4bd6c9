package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Profile says what a certificate is for. The API server takes Name for the
// user and Groups for the groups of a client.
type Profile struct {
	Name   string   // common name
	Groups []string // organizations
	Hosts  []string // DNS names and IP addresses of a server
	Server bool
	Client bool
}

func (p Profile) check() error {
	switch {
	case p.Name == "":
		return errors.New("certificate: Name is empty: give the user or server a name")
	case !p.Server && !p.Client:
		return fmt.Errorf("certificate %s: neither for a server nor a client: set Server or Client", p.Name)
	case p.Server && len(p.Hosts) == 0:
		return fmt.Errorf("certificate %s: Hosts is empty: name at least one DNS name or IP address of the server", p.Name)
	}
	for _, host := range p.Hosts {
		if host == "" || strings.ContainsAny(host, " /:%") && !isIP(host) {
			return fmt.Errorf("certificate %s: host %q: use a DNS name or an IP address without port", p.Name, host)
		}
	}
	return nil
}

func isIP(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == ""
}

func (p Profile) usages() []x509.ExtKeyUsage {
	var usages []x509.ExtKeyUsage
	if p.Server {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if p.Client {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	return usages
}

// Unfit says why a certificate can no longer serve the profile; nil if it can.
func (p Profile) Unfit(cert *x509.Certificate, by *Authority, now time.Time) error {
	switch {
	case now.Before(cert.NotBefore):
		return fmt.Errorf("is valid only from %s", cert.NotBefore)
	case !now.Before(renewAt(cert)):
		return fmt.Errorf("is valid only until %s", cert.NotAfter)
	case cert.Subject.CommonName != p.Name:
		return fmt.Errorf("is for %q", cert.Subject.CommonName)
	case !sameSet(cert.Subject.Organization, p.Groups):
		return fmt.Errorf("is for the groups %q", cert.Subject.Organization)
	case !sameSet(cert.ExtKeyUsage, p.usages()):
		return fmt.Errorf("is for other uses")
	case cert.CheckSignatureFrom(by.Cert) != nil:
		return fmt.Errorf("is of another authority")
	}
	for _, host := range p.Hosts {
		if cert.VerifyHostname(host) != nil {
			return fmt.Errorf("lacks the host %s", host)
		}
	}
	return nil
}

func sameSet[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

// The names below are upstream's: its default role bindings grant to them.

// APIServer is the API server's own certificate. hosts are the node's names
// and addresses and whatever else clients use; serviceIP is the address of the
// service "kubernetes", if known.
func APIServer(domain string, serviceIP netip.Addr, hosts ...string) Profile {
	p := Profile{Name: "kube-apiserver", Server: true, Hosts: []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain,
		"localhost", "127.0.0.1", "::1",
	}}
	if serviceIP.IsValid() {
		p.Hosts = append(p.Hosts, serviceIP.String())
	}
	for _, host := range hosts {
		if !slices.Contains(p.Hosts, host) {
			p.Hosts = append(p.Hosts, host)
		}
	}
	return p
}

// Admin may do everything: the authorizer never asks about its group.
func Admin() Profile {
	return Profile{Name: "kubernetes-admin", Groups: []string{"system:masters"}, Client: true}
}

// ControllerManager is the user of the controllers.
func ControllerManager() Profile {
	return Profile{Name: "system:kube-controller-manager", Client: true}
}

// Scheduler is the user of the scheduler.
func Scheduler() Profile {
	return Profile{Name: "system:kube-scheduler", Client: true}
}

// KubeProxy is the user of the service proxy.
func KubeProxy() Profile {
	return Profile{Name: "system:kube-proxy", Client: true}
}

// Kubelet is the user of a node's agent.
func Kubelet(node string) Profile {
	return Profile{Name: "system:node:" + node, Groups: []string{"system:nodes"}, Client: true}
}

// KubeletServer is the certificate by which a node's agent serves logs and
// exec; hosts are the node's addresses.
func KubeletServer(node string, hosts ...string) Profile {
	p := Profile{Name: "system:node:" + node, Groups: []string{"system:nodes"}, Server: true, Hosts: []string{node}}
	for _, host := range hosts {
		if !slices.Contains(p.Hosts, host) {
			p.Hosts = append(p.Hosts, host)
		}
	}
	return p
}

// KubeletClient is how the API server calls node agents.
func KubeletClient() Profile {
	return Profile{Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}, Client: true}
}

// FrontProxyClient is how the API server calls aggregated API servers, signed
// by the front-proxy authority.
func FrontProxyClient() Profile {
	return Profile{Name: "front-proxy-client", Client: true}
}
