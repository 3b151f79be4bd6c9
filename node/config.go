package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/node/cri"
)

// Config says what node this is. Fields that may be empty say what that means.
type Config struct {
	Name      string
	Hostname  string   // Name if empty
	Addresses []string // of the node, the primary first
	PodCIDRs  []string // that the Node asks for; may be empty
	Port      int32    // of the agent's server; 10250 if 0

	// Root is the folder of what pods keep on the node while they live.
	Root string
	// Logs is the folder of pods' logs; Root/logs if empty.
	Logs string
	// LocalVolumes is the folder of the volumes that the built-in class of storage
	// has on this node; it has none if empty.
	LocalVolumes string
	// Manifests is the folder of static pods: those that the node runs from files,
	// whether or not the API is there; none if empty.
	Manifests string
	// ResolvConf is the node's resolver configuration; /etc/resolv.conf if empty.
	ResolvConf string
	// SeccompRoot holds Localhost seccomp profiles; Root/seccomp if empty.
	SeccompRoot string

	ClusterDNS    []string // addresses; pods use the node's resolver if empty
	ClusterDomain string   // "cluster.local" if empty

	// CgroupRoot is the control group of all pods; "kubepods" if empty. It is
	// Skiff's own, beside those of systemd where that runs.
	CgroupRoot string

	// Lease is how long the node may be silent before it counts as lost; 40 s, as
	// upstream, if 0. With a lease of its own the node stops pods that others may
	// run by then; see fence.go.
	Lease time.Duration

	// ImagesHigh is how full the disk is, in percent, when images that no pod uses
	// are removed; 85 if 0 (upstream's imageGCHighThresholdPercent).
	ImagesHigh int

	Eviction EvictionConfig

	MaxPods  int                 // 250 if 0
	Reserved corev1.ResourceList // kept from pods
	Labels   map[string]string   // added to the Node object
	Taints   []corev1.Taint      // of a Node that this agent creates
}

// Deps are what the agent stands on.
type Deps struct {
	Client client.Client
	// Synced waits until the client's cache is complete; nil waits for its first
	// objects.
	Synced  func(context.Context) error
	Runtime cri.Client
	Events  interface{ Record(event.Note) }
	Log     *slog.Logger
}

// withDefaults fills in what may be left out.
func (c Config) withDefaults() Config {
	or := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	or(&c.Hostname, c.Name)
	or(&c.Logs, filepath.Join(c.Root, "logs"))
	or(&c.ResolvConf, "/etc/resolv.conf")
	or(&c.SeccompRoot, filepath.Join(c.Root, "seccomp"))
	or(&c.ClusterDomain, "cluster.local")
	or(&c.CgroupRoot, "kubepods")
	if c.Port == 0 {
		c.Port = 10250
	}
	if c.MaxPods == 0 {
		c.MaxPods = 250
	}
	if c.ImagesHigh == 0 {
		c.ImagesHigh = 85
	}
	return c
}

// Validate reports every problem of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("Name: is empty; give the node's name"))
	}
	if !filepath.IsAbs(c.Root) {
		errs = append(errs, fmt.Errorf("Root: %q is not an absolute path; give one", c.Root))
	}
	if c.Manifests != "" && !filepath.IsAbs(c.Manifests) {
		errs = append(errs, fmt.Errorf("Manifests: %q is not an absolute path; give one", c.Manifests))
	}
	if len(c.Addresses) == 0 {
		errs = append(errs, errors.New("Addresses: is empty; give the node's address"))
	}
	for field, list := range map[string][]string{"Addresses": c.Addresses, "ClusterDNS": c.ClusterDNS} {
		for _, a := range list {
			if _, err := netip.ParseAddr(a); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q is not an IP address; give one like 10.0.0.1", field, a))
			}
		}
	}
	for _, p := range c.PodCIDRs {
		if _, err := netip.ParsePrefix(p); err != nil {
			errs = append(errs, fmt.Errorf("PodCIDRs: %q is not an address range; give one like 10.42.0.0/24", p))
		}
	}
	if c.MaxPods < 0 {
		errs = append(errs, fmt.Errorf("MaxPods: %d is below 0; give the most pods the node may have", c.MaxPods))
	}
	if c.Lease != 0 && c.Lease < time.Second {
		errs = append(errs, fmt.Errorf("Lease: %s is too short to be renewed in time; give a second or more", c.Lease))
	}
	if c.ImagesHigh < 0 || c.ImagesHigh > 100 {
		errs = append(errs, fmt.Errorf("ImagesHigh: %d is no percentage; give one from 1 to 100", c.ImagesHigh))
	}
	_, err := c.Eviction.Thresholds()
	return errors.Join(append(errs, err)...)
}

// The times of the agent's own reports.
const (
	// heartbeat is how often the node's Lease is renewed; after four that are
	// missing the node counts as lost.
	heartbeat = 10 * time.Second
	// statusInterval is how often the Node's status is written though it has not
	// changed.
	statusInterval = 5 * time.Minute
)
