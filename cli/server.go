package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/skiff-sh/skiff/cluster"
	"github.com/skiff-sh/skiff/node"
)

func contextWithTimeout(cmd *cobra.Command, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(cmd.Context(), d, fmt.Errorf("it took longer than %s (--timeout)", d))
}

// logFlag adds --log-level.
func logFlag(cmd *cobra.Command, level *string) {
	cmd.Flags().StringVar(level, "log-level", "info", "debug, info, warn or error")
}

func newLogger(cmd *cobra.Command, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not known: use debug, info, warn or error", level)
	}
	handler := slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: l})
	klog.SetSlogLogger(slog.New(libraries{handler}))
	return slog.New(handler), nil
}

// libraries takes what Kubernetes' libraries log. It is for developers: to them
// a client that hangs up is an error.
type libraries struct{ slog.Handler }

// Enabled implements slog.Handler.
func (l libraries) Enabled(ctx context.Context, _ slog.Level) bool {
	return l.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (l libraries) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l libraries) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraries{l.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l libraries) WithGroup(name string) slog.Handler { return libraries{l.Handler.WithGroup(name)} }

func serverCommand() *cobra.Command {
	var which selection
	var set settings
	level, file := "", ""
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane, and this machine as its node, in the foreground",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd, level)
			if err != nil {
				return err
			}
			var config cluster.Config
			if file != "" {
				if config, err = cluster.ReadSettings(file); err != nil {
					return err
				}
			} else {
				if config, _, err = which.config(); err != nil {
					return err
				}
				if err := set.apply(&config); err != nil {
					return err
				}
			}
			return cluster.RunServer(cmd.Context(), config, log)
		},
	}
	which.flags(cmd)
	set.flags(cmd)
	logFlag(cmd, &level)
	cmd.Flags().StringVar(&file, "settings", "", "read all settings from this file instead of flags")
	cmd.MarkFlagsMutuallyExclusive("settings", "data-dir")
	return cmd
}

func agentCommand() *cobra.Command {
	var config cluster.AgentConfig
	level, file := "", ""
	cmd := &cobra.Command{
		Use:   "agent --server URL [--token TOKEN]",
		Short: "Run this machine as a node of a cluster elsewhere, in the foreground",
		Long: `Run this machine as a node of a cluster elsewhere, in the foreground.

The token is needed to join only: the certificates that the node gets are kept, and
renewed while it runs. Its pods go on when it ends. "skiff down --name agent" stops them and takes back
what the node changed on this machine; "skiff image load --name agent" loads images.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd, level)
			if err != nil {
				return err
			}
			if file != "" {
				if config, err = cluster.ReadAgentSettings(file); err != nil {
					return err
				}
			}
			return cluster.RunAgent(cmd.Context(), config, log)
		},
	}
	f := cmd.Flags()
	defaults := cluster.DefaultAgentConfig()
	f.StringVar(&config.Server, "server", "", "URL of the API server, such as https://10.0.0.1:6443")
	f.StringVar(&config.Token, "token", "", "a join token: \"skiff token create\" on the server makes one; a machine that has joined needs none")
	f.StringVar(&config.NodeName, "node-name", defaults.NodeName, "name of this machine's node")
	f.StringVar(&config.NodeListen, "node-listen", defaults.NodeListen, "address and port of the node agent's API")
	f.StringVar(&config.DataDir, "data-dir", defaults.DataDir, "the agent's directory")
	f.StringSliceVar(&config.Labels, "labels", nil, "labels of the node: key=value, ...")
	f.StringSliceVar(&config.Taints, "taints", nil, "taints that the node begins with: key=value:effect, ...")
	f.StringVar(&config.Registries, "registries", "", "directory with a hosts.toml per image registry: mirrors, authorities")
	f.StringVar(&config.PodManifests, "pod-manifest-path", "", "absolute path of a directory with static pods: the node runs them without the API server")
	evictionFlags(f, &config.Eviction)
	f.StringVar(&file, "settings", "", "read all settings from this file instead of flags")
	logFlag(cmd, &level)
	return cmd
}

// evictionFlags are upstream's, of its kubelet.
func evictionFlags(f *pflag.FlagSet, c *node.EvictionConfig) {
	f.StringVar(&c.Hard, "eviction-hard", "", "thresholds at which the node ends pods at once: memory.available<100Mi,pid.available<5%; upstream's defaults if empty")
	f.StringVar(&c.Soft, "eviction-soft", "", "thresholds at which the node ends pods after --eviction-soft-grace-period")
	f.StringVar(&c.SoftGrace, "eviction-soft-grace-period", "", "how long each soft threshold may be crossed: memory.available=1m30s")
	f.Int64Var(&c.MaxPodGrace, "eviction-max-pod-grace-period", 0, "the most seconds that a pod has to stop at a soft threshold")
}
