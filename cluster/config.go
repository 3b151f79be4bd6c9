package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/skiff-sh/skiff/dns"
	"github.com/skiff-sh/skiff/node"
	"github.com/skiff-sh/skiff/pki"
)

// Config is all of a cluster on this machine. It is kept in the data directory,
// so that later commands need only the cluster's name.
type Config struct {
	Name    string `json:"name"`
	DataDir string `json:"dataDir"`
	// Listen is host and port of the API server. Port 0 takes a free one.
	Listen string `json:"listen"`
	// Node tells whether this process is a node too.
	Node     bool   `json:"node"`
	NodeName string `json:"nodeName,omitempty"`
	// NodeListen is host and port of the node agent's own API.
	NodeListen  string       `json:"nodeListen,omitempty"`
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
	PodCIDR     netip.Prefix `json:"podCIDR"`
	Domain      string       `json:"domain"`
	// DNSStubs are domains whose names are asked of servers of their own.
	DNSStubs []dns.Stub `json:"dnsStubs,omitempty"`
	// NodeCIDR is the network of the nodes beside the first that live in network
	// namespaces of this machine.
	NodeCIDR netip.Prefix `json:"nodeCIDR,omitzero"`
	// Failover has further nodes on this machine noticed in seconds when they are
	// silent, and their pods replaced; see failover.go.
	Failover bool `json:"failover,omitempty"`
	// SigningDuration is how long the certificates are valid that the cluster signs on
	// request, such as those of further nodes; 0 for a year.
	SigningDuration time.Duration `json:"signingDuration,omitempty"`
	// ID is set where links, tables and groups are not called by Name.
	ID string `json:"id,omitempty"`
	// Etcd is where the store is, if not in this process: several servers then
	// share it.
	Etcd EtcdConfig `json:"etcd,omitzero"`
	// Runtime is the directory of containerd, runc and Skiff's small helpers.
	Runtime string `json:"runtime,omitempty"`
	// SchedulerConfig is a file with upstream's KubeSchedulerConfiguration; empty for
	// its defaults.
	SchedulerConfig string `json:"schedulerConfig,omitempty"`
	// Registries is a directory with a hosts.toml per image registry, in
	// containerd's form: mirrors, authorities, headers.
	Registries string `json:"registries,omitempty"`
	// PodManifests is the folder of the node's static pods.
	PodManifests string `json:"podManifests,omitempty"`
	// Eviction says when the node has too little left.
	Eviction node.EvictionConfig `json:"eviction,omitzero"`
}

// Defaults of a cluster.
const (
	defaultListen      = "0.0.0.0:6443"
	defaultNodeListen  = "0.0.0.0:10250"
	defaultServiceCIDR = "10.96.0.0/16"
	defaultPodCIDR     = "10.244.0.0/24"
	defaultNodeCIDR    = "10.245.0.0/24"
	defaultDomain      = "cluster.local"
)

// shortestSigning leaves a node time to get its next certificate.
const shortestSigning = 5 * time.Second

// DefaultConfig is the configuration of a cluster of a name.
func DefaultConfig(name string) Config {
	host, err := os.Hostname()
	if err != nil || len(validation.IsDNS1123Subdomain(strings.ToLower(host))) > 0 {
		host = "node"
	}
	return Config{
		Name: name, DataDir: DefaultPaths(name).Data, Listen: defaultListen,
		Node: true, NodeName: strings.ToLower(host), NodeListen: defaultNodeListen,
		ServiceCIDR: netip.MustParsePrefix(defaultServiceCIDR), PodCIDR: netip.MustParsePrefix(defaultPodCIDR),
		NodeCIDR: netip.MustParsePrefix(defaultNodeCIDR), Domain: defaultDomain, Runtime: RuntimeDir(),
	}
}

// RuntimeDir is where the runtime lies: $SKIFF_RUNTIME, or beside the binary.
func RuntimeDir() string {
	if dir := os.Getenv("SKIFF_RUNTIME"); dir != "" {
		return dir
	}
	self, err := os.Executable()
	if err != nil {
		return "/usr/local/lib/skiff"
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "/usr/local/lib/skiff"
	}
	return filepath.Join(filepath.Dir(self), "runtime")
}

// Paths are the cluster's files.
func (c *Config) Paths() Paths { return Paths{Data: c.DataDir} }

// Validate reports every problem of the configuration.
func (c *Config) Validate() error {
	errs := []error{ValidateName(c.Name), listenAddress("--listen", c.Listen)}
	if !filepath.IsAbs(c.DataDir) {
		errs = append(errs, fmt.Errorf("--data-dir %q: must be an absolute path", c.DataDir))
	}
	if c.ServiceCIDR.Bits() < 8 || c.ServiceCIDR.Bits() > c.ServiceCIDR.Addr().BitLen()-4 {
		errs = append(errs, fmt.Errorf("--service-cidr %q: must be a range such as %s", c.ServiceCIDR, defaultServiceCIDR))
	}
	if c.SigningDuration < 0 || c.SigningDuration > 0 && c.SigningDuration < shortestSigning {
		errs = append(errs, fmt.Errorf("--cluster-signing-duration %s: give at least %s, such as 8760h", c.SigningDuration, shortestSigning))
	}
	_, err := schedulerProfiles(c.SchedulerConfig)
	errs = append(errs, c.Etcd.validate(), registriesDir(c.Registries), manifestsDir(c.PodManifests), evictionThresholds(c.Eviction), c.stubs(), err)
	if c.NodeCIDR.IsValid() && (!c.NodeCIDR.Addr().Is4() || c.NodeCIDR.Bits() < 16 || c.NodeCIDR.Bits() > 28) {
		errs = append(errs, fmt.Errorf("--node-cidr %q: must be an IPv4 range of 16 to 65536 addresses, such as %s", c.NodeCIDR, defaultNodeCIDR))
	}
	if !c.Node {
		return errors.Join(errs...)
	}
	errs = append(errs, nodeListenAddress(c.NodeListen))
	if problems := validation.IsDNS1123Subdomain(c.NodeName); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--node-name %q: %s", c.NodeName, strings.Join(problems, "; ")))
	}
	if c.PodCIDR.Overlaps(c.ServiceCIDR) {
		errs = append(errs, fmt.Errorf("--pod-cidr %s overlaps --service-cidr %s: choose ranges apart from each other", c.PodCIDR, c.ServiceCIDR))
	}
	if c.PodCIDR.Bits() > c.PodCIDR.Addr().BitLen()-4 {
		errs = append(errs, fmt.Errorf("--pod-cidr %q: must be a range such as %s", c.PodCIDR, defaultPodCIDR))
	}
	return errors.Join(errs...)
}

// stubs: the cluster's own names are always its own, and a query must not come
// back to where it was asked.
func (c *Config) stubs() error {
	var errs []error
	seen := map[string]bool{}
	for _, s := range c.DNSStubs {
		if s.Domain == c.Domain || strings.HasSuffix(s.Domain, "."+c.Domain) {
			errs = append(errs, fmt.Errorf("--dns-stub %s: the cluster answers the names of %s itself: give another domain", s.Domain, c.Domain))
		}
		if seen[s.Domain] {
			errs = append(errs, fmt.Errorf("--dns-stub %s: given twice: list all its servers in one, as %s=10.0.0.53,10.0.0.54", s.Domain, s.Domain))
		}
		seen[s.Domain] = true
		for _, server := range s.Servers {
			if c.ServiceCIDR.IsValid() && server.Addr() == DNSAddress(c.ServiceCIDR) {
				errs = append(errs, fmt.Errorf("--dns-stub %s: %s is the cluster's own DNS: give the server that knows the domain", s.Domain, server.Addr()))
			}
		}
	}
	return errors.Join(errs...)
}

// registriesDir: containerd reads the directory at each pull, and would say
// nothing of one that is not there.
func registriesDir(dir string) error {
	if dir == "" {
		return nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || !filepath.IsAbs(dir) {
		return fmt.Errorf("--registries %q: give the absolute path of a directory such as /etc/containerd/certs.d, with REGISTRY/hosts.toml in it", dir)
	}
	return nil
}

func evictionThresholds(c node.EvictionConfig) error {
	_, err := c.Thresholds()
	return err
}

// manifestsDir need not be there yet.
func manifestsDir(dir string) error {
	if dir != "" && !filepath.IsAbs(dir) {
		return fmt.Errorf("--pod-manifest-path %q: give the absolute path of a directory, such as /etc/skiff/pods", dir)
	}
	return nil
}

// nodeListenAddress: the API server reaches the agent at the node's address,
// even where both are one process.
func nodeListenAddress(value string) error {
	if a, err := netip.ParseAddrPort(value); err == nil && a.Addr().IsLoopback() {
		return fmt.Errorf("--node-listen %q: the API server reaches the agent at the node's own address: listen there, or on all as %s", value, defaultNodeListen)
	}
	return listenAddress("--node-listen", value)
}

func listenAddress(flag, value string) error {
	host, port, err := net.SplitHostPort(value)
	if err == nil {
		var n int
		if n, err = strconv.Atoi(port); err == nil && (n < 0 || n > 65535) {
			err = fmt.Errorf("port %d is not within 0-65535", n)
		}
		if _, perr := netip.ParseAddr(host); err == nil && host != "" && perr != nil {
			err = fmt.Errorf("%q is not an IP address", host)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w; give an address and a port, such as %s", flag, value, err, defaultListen)
	}
	return nil
}

// Save keeps the configuration in the data directory.
func (c *Config) Save() error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cluster's settings: %w", err)
	}
	return pki.WriteFile(c.Paths().Settings(), append(data, '\n'))
}

// LoadConfig reads the configuration of a cluster that was started before.
func LoadConfig(paths Paths) (Config, error) {
	data, err := os.ReadFile(paths.Settings())
	if errors.Is(err, syscall.ENOTDIR) {
		return Config{}, fmt.Errorf("--data-dir %s: it is a file; choose a directory", paths.Data)
	}
	if err != nil {
		return Config{}, err
	}
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("%s is not a cluster's settings: %w; remove the directory if the cluster is not needed", paths.Settings(), err)
	}
	return c, nil
}

// ReadSettings reads the configuration that Save wrote.
func ReadSettings(file string) (Config, error) {
	c, err := LoadConfig(Paths{Data: filepath.Dir(file)})
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("--settings %s: there is no such file; \"skiff up\" writes it", file)
	}
	return c, err
}
