package cli

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// lookFlags are the flags that say which cluster to look at.
func lookFlags(cmd *cobra.Command, flags *genericclioptions.ConfigFlags) {
	cmd.Flags().StringVar(flags.KubeConfig, "kubeconfig", "", "file that says how to reach the cluster (default as kubectl)")
	cmd.Flags().StringVar(flags.Context, "context", "", "the kubeconfig's context to use")
}

// look reads all objects of kinds in a cluster, once, and the namespace that the
// user works in. Any cluster will do: it is read as kubectl reads it.
func look(ctx context.Context, flags *genericclioptions.ConfigFlags, kinds []*resource.Info) (*view.View, string, error) {
	if err := ownCluster(); err != nil {
		return nil, "", err
	}
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, "", fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, "", fmt.Errorf("server %q: %w", config.Host, err)
	}
	var watched []client.Watched
	for _, kind := range kinds {
		watched = append(watched, client.Watched{Kind: kind})
	}
	remote := client.NewRemote(client.RemoteConfig{Server: server.String(), HTTP: http, Watched: watched, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go remote.Run(ctx) //nolint:errcheck // ends with ctx
	if err := remote.Synced(ctx); err != nil {
		return nil, "", fmt.Errorf("read the cluster at %s: %w", config.Host, err)
	}
	return remote.Cache().View(), namespace, nil
}
