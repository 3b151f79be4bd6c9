package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
	"github.com/skiff-sh/skiff/dns"
	"github.com/skiff-sh/skiff/node"
)

// selection is which cluster of this machine a command is about.
type selection struct{ name, dataDir string }

func (s *selection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.name, "name", cluster.DefaultName, "the cluster's name")
	cmd.Flags().StringVar(&s.dataDir, "data-dir", "", "the cluster's directory (default /var/lib/skiff/NAME)")
	_ = cmd.RegisterFlagCompletionFunc("name", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return cluster.Clusters(), cobra.ShellCompDirectiveNoFileComp
	})
}

func (s *selection) paths() (cluster.Paths, error) {
	if err := cluster.ValidateName(s.name); err != nil {
		return cluster.Paths{}, err
	}
	if s.dataDir == "" {
		return cluster.DefaultPaths(s.name), nil
	}
	dir, err := filepath.Abs(s.dataDir)
	if err != nil {
		return cluster.Paths{}, fmt.Errorf("--data-dir %q: %w", s.dataDir, err)
	}
	return cluster.Paths{Data: dir}, nil
}

// config returns the configuration that the cluster was started with, and the
// default one if it never was.
func (s *selection) config() (config cluster.Config, exists bool, err error) {
	paths, err := s.paths()
	if err != nil {
		return config, false, err
	}
	config, err = cluster.LoadConfig(paths)
	if errors.Is(err, fs.ErrNotExist) {
		config = cluster.DefaultConfig(s.name)
		config.DataDir = paths.Data
		return config, false, nil
	}
	if err == nil && config.DataDir != paths.Data {
		config.DataDir = paths.Data // the directory was moved
	}
	return config, err == nil, err
}

// settings are the flags that change a cluster's configuration.
type settings struct {
	listen, nodeName, nodeListen, serviceCIDR, podCIDR, nodeCIDR, domain, registries, schedulerConfig, manifests string
	noNode, failover                                                                                             bool
	etcd                                                                                                         cluster.EtcdConfig
	dnsStubs                                                                                                     []string
	eviction                                                                                                     node.EvictionConfig
	signing                                                                                                      time.Duration
}

func (s *settings) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", "", "address and port of the API server (default 0.0.0.0:6443)")
	f.StringVar(&s.nodeName, "node-name", "", "name of this machine's node (default its host name)")
	f.StringVar(&s.nodeListen, "node-listen", "", "address and port of the node agent's API (default 0.0.0.0:10250)")
	f.StringVar(&s.serviceCIDR, "service-cidr", "", "range of service addresses (default 10.96.0.0/16)")
	f.StringVar(&s.podCIDR, "pod-cidr", "", "range of this node's pod addresses (default 10.244.0.0/24)")
	f.StringVar(&s.nodeCIDR, "node-cidr", "", "range of addresses of further nodes on this machine (default 10.245.0.0/24)")
	f.StringVar(&s.domain, "cluster-domain", "", "DNS domain of the cluster (default cluster.local)")
	f.StringArrayVar(&s.dnsStubs, "dns-stub", nil, "domain and the servers that its names are asked of, as corp.example=10.0.0.53; may be repeated")
	f.StringVar(&s.schedulerConfig, "scheduler-config", "", "file with upstream's KubeSchedulerConfiguration: profiles of the scheduler")
	f.StringVar(&s.registries, "registries", "", "directory with a hosts.toml per image registry: mirrors, authorities")
	f.StringVar(&s.manifests, "pod-manifest-path", "", "directory with static pods: the node runs them without the API server")
	evictionFlags(f, &s.eviction)
	f.DurationVar(&s.signing, "cluster-signing-duration", 0, "how long certificates are valid that the cluster signs on request (default 8760h)")
	f.StringSliceVar(&s.etcd.Servers, "etcd-servers", nil, "URLs of an etcd to use in place of the built-in one")
	f.StringVar(&s.etcd.CAFile, "etcd-cafile", "", "authority of that etcd's certificates")
	f.StringVar(&s.etcd.CertFile, "etcd-certfile", "", "certificate to show to that etcd")
	f.StringVar(&s.etcd.KeyFile, "etcd-keyfile", "", "key of that certificate")
	f.BoolVar(&s.failover, "failover", false, "notice within seconds that a further node on this machine is lost, and replace its pods")
	f.BoolVar(&s.noNode, "no-node", false, "run the control plane alone")
}

// apply puts the given flags into a configuration.
func (s *settings) apply(c *cluster.Config) error {
	for _, set := range []struct {
		value string
		into  *string
	}{{s.listen, &c.Listen}, {s.nodeName, &c.NodeName}, {s.nodeListen, &c.NodeListen}, {s.domain, &c.Domain}, {s.registries, &c.Registries}, {s.schedulerConfig, &c.SchedulerConfig}, {s.manifests, &c.PodManifests},
		{s.eviction.Hard, &c.Eviction.Hard}, {s.eviction.Soft, &c.Eviction.Soft}, {s.eviction.SoftGrace, &c.Eviction.SoftGrace}} {
		if set.value != "" {
			*set.into = set.value
		}
	}
	if s.eviction.MaxPodGrace != 0 {
		c.Eviction.MaxPodGrace = s.eviction.MaxPodGrace
	}
	for flag, path := range map[string]*string{"--registries": &c.Registries, "--scheduler-config": &c.SchedulerConfig, "--pod-manifest-path": &c.PodManifests} {
		if *path == "" {
			continue
		}
		whole, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("%s %q: %w", flag, *path, err)
		}
		*path = whole
	}
	for _, set := range []struct {
		flag, value string
		into        *netip.Prefix
	}{{"--service-cidr", s.serviceCIDR, &c.ServiceCIDR}, {"--pod-cidr", s.podCIDR, &c.PodCIDR}, {"--node-cidr", s.nodeCIDR, &c.NodeCIDR}} {
		if set.value == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(set.value)
		if err != nil {
			return fmt.Errorf("%s %q is not a range of addresses; give one such as 10.100.0.0/16", set.flag, set.value)
		}
		*set.into = prefix
	}
	if s.signing != 0 {
		c.SigningDuration = s.signing
	}
	c.Failover = c.Failover || s.failover
	if s.noNode {
		c.Node = false
	}
	if len(s.dnsStubs) > 0 {
		c.DNSStubs = nil
	}
	for _, text := range s.dnsStubs {
		stub, err := dns.ParseStub(text)
		if err != nil {
			return fmt.Errorf("--dns-stub %w", err)
		}
		c.DNSStubs = append(c.DNSStubs, stub)
	}
	if len(s.etcd.Servers) > 0 || s.etcd.CAFile != "" || s.etcd.CertFile != "" || s.etcd.KeyFile != "" {
		c.Etcd = s.etcd
	}
	c.Runtime = cluster.RuntimeDir()
	return nil
}

func progressTo(cmd *cobra.Command) cluster.Progress {
	return func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), "  "+format+"\n", args...) }
}

func upCommand() *cobra.Command {
	var which selection
	var set settings
	wait, timeout, nodes := true, time.Minute, 0
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster on this machine, in the background",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			if err := set.apply(&config); err != nil {
				return err
			}
			ctx, cancel := contextWithTimeout(cmd, timeout)
			defer cancel()
			if err := cluster.Up(ctx, config, nodes, wait, progressTo(cmd)); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "cluster %q is up; try \"skiff kubectl get nodes\"\n", config.Name)
			return nil
		},
	}
	which.flags(cmd)
	set.flags(cmd)
	cmd.Flags().IntVar(&nodes, "nodes", 0, "how many nodes, those beside the first in network namespaces of this machine (default 1, with --no-node none)")
	cmd.Flags().BoolVar(&wait, "wait", true, "return when the nodes are ready and DNS answers")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "give up waiting after this time")
	return cmd
}

func downCommand() *cobra.Command {
	var which selection
	purge := false
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop a cluster and take back what it changed on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, exists, err := which.config()
			if err != nil {
				return err
			}
			if !exists {
				fmt.Fprintf(cmd.ErrOrStderr(), "there is no cluster %q\n", which.name)
				return nil
			}
			if err := cluster.Down(cmd.Context(), config, purge, progressTo(cmd)); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "cluster %q is down\n", config.Name)
			return nil
		},
	}
	which.flags(cmd)
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the cluster's data too")
	return cmd
}

func statusCommand() *cobra.Command {
	var which selection
	output := ""
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a cluster on this machine is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			status, err := cluster.ReadStatus(cmd.Context(), config)
			if err != nil {
				return err
			}
			if output == "json" {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(status)
			} else {
				err = printStatus(cmd, status)
			}
			if err == nil && status.State != "running" {
				return exitError(3) // as init scripts do: the program is not running
			}
			return err
		},
	}
	which.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func printStatus(cmd *cobra.Command, s cluster.Status) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "cluster\t%s\t\nstate\t%s\t\n", s.Name, s.State)
	if s.State == "running" {
		fmt.Fprintf(w, "API server\t%s\t\nkubeconfig\t%s\t\n", s.Server, s.Kubeconfig)
		for _, n := range s.Nodes {
			state := readiness(n.Ready)
			if n.Machine == "stopped" || n.Machine == "partitioned" {
				state += ", " + n.Machine
			}
			fmt.Fprintf(w, "node\t%s\t%s\n", n.Name, state)
		}
		fmt.Fprintf(w, "pods\t%d ready of %d\t\n", s.PodsReady, s.Pods)
		fmt.Fprintf(w, "memory\t%d MiB\t\n", s.MemoryBytes>>20)
	}
	if s.Restarts > 0 {
		fmt.Fprintf(w, "restarts\t%d\tsee %s/server.log\n", s.Restarts, s.DataDir)
	}
	return w.Flush()
}

func kubeconfigCommand() *cobra.Command {
	var which selection
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the administrator's kubeconfig of a cluster",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			paths, err := which.paths()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(paths.Kubeconfig())
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("cluster %q has no kubeconfig yet: start it with \"skiff up\"", which.name)
			}
			if err != nil {
				return fmt.Errorf("read the kubeconfig: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		},
	}
	which.flags(cmd)
	return cmd
}
