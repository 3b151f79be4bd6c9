package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/scheduler/why"
	"github.com/skiff-sh/skiff/view"
)

func whyCommand() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	output, timeout := "", 10*time.Second
	cmd := &cobra.Command{
		Use:   "why pod/NAME",
		Short: "Say why a pod is where it is, or why it does not run, and what would help",
		Example: `  skiff why pod/web-0
  skiff why pod/web-0 -n shop -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := podName(args[0])
			if err != nil {
				return err
			}
			if output != "" && output != "json" {
				return fmt.Errorf("--output %q: use json, or leave it out", output)
			}
			ctx, cancel := contextWithTimeout(cmd, timeout)
			defer cancel()
			if err := ownCluster(); err != nil {
				return err
			}
			v, namespace, err := look(ctx, flags)
			if err != nil {
				return err
			}
			answer, ok := why.Explain(v, namespace, name)
			if !ok {
				return fmt.Errorf("there is no pod %q in namespace %q", name, namespace)
			}
			return printAnswer(cmd.OutOrStdout(), &answer, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or nothing for text")
	cmd.Flags().StringVarP(flags.Namespace, "namespace", "n", "", "the pod's namespace (default that of the kubeconfig)")
	cmd.Flags().StringVar(flags.KubeConfig, "kubeconfig", "", "file that says how to reach the cluster (default as kubectl)")
	cmd.Flags().StringVar(flags.Context, "context", "", "the kubeconfig's context to use")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "give up after this time")
	return cmd
}

func podName(arg string) (string, error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok {
		return arg, nil
	}
	switch kind {
	case "pod", "pods", "po":
		return name, nil
	}
	return "", fmt.Errorf("%q: only pods can be asked about, as pod/NAME", arg)
}

// look reads all that is needed to explain a pod, once.
func look(ctx context.Context, flags *genericclioptions.ConfigFlags) (*view.View, string, error) {
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
	for _, kind := range why.Kinds() {
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

func printAnswer(w io.Writer, a *why.Answer, output string) error {
	if output != "json" {
		a.Print(w)
		return nil
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(a)
}
