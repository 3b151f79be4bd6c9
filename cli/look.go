package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

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

// reach returns where a cluster's API is and a client for it, as kubectl reads
// them, and the namespace that the user works in.
func reach(flags *genericclioptions.ConfigFlags) (server string, client *http.Client, namespace string, err error) {
	if err := ownCluster(); err != nil {
		return "", nil, "", err
	}
	namespace, _, err = flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return "", nil, "", fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err = rest.HTTPClientFor(config)
	if err != nil {
		return "", nil, "", fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	at, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return "", nil, "", fmt.Errorf("server %q: %w", config.Host, err)
	}
	return strings.TrimSuffix(at.String(), "/"), client, namespace, nil
}

// look reads all objects of kinds in a cluster, once, and the namespace that the
// user works in. Any cluster will do: it is read as kubectl reads it.
func look(ctx context.Context, flags *genericclioptions.ConfigFlags, kinds []*resource.Info) (*view.View, string, error) {
	server, http, namespace, err := reach(flags)
	if err != nil {
		return nil, "", err
	}
	var watched []client.Watched
	for _, kind := range kinds {
		watched = append(watched, client.Watched{Kind: kind})
	}
	remote := client.NewRemote(client.RemoteConfig{Server: server, HTTP: http, Watched: watched, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go remote.Run(ctx) //nolint:errcheck // ends with ctx
	if err := remote.Synced(ctx); err != nil {
		return nil, "", fmt.Errorf("read the cluster at %s: %w", server, err)
	}
	return remote.Cache().View(), namespace, nil
}
