package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/cluster"
	"github.com/skiff-sh/skiff/preview"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func previewCommand() *cobra.Command {
	var which selection
	var change preview.Change
	var files []string
	output := ""
	cmd := &cobra.Command{
		Use:   "preview {-f FILE|DIRECTORY | --drain NODE | --lose-node NODE}...",
		Short: "Say what a change would lead to, without making it",
		Long: `Say what a change would lead to, without making it.

The cluster is copied into memory, and the change made there: admission, controllers,
scheduler and simulated nodes run until they rest, on a clock of their own. Then it
says what would be created, changed, moved, killed or left without a node. The real
cluster is only read. Pods are taken to start: what an image does, nobody knows.
Admission webhooks are not asked, since they may have effects.`,
		Example: "  skiff preview -f deployment.yaml\n  skiff preview --drain node-1\n  skiff preview --lose-node node-1 -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files)+len(change.Drain)+len(change.Lose) == 0 {
				return errors.New("nothing to try: give -f, --drain or --lose-node")
			}
			if output != "" && output != "json" {
				return fmt.Errorf("--output %q: there is only json", output)
			}
			if len(files) > 0 {
				change.Apply = func(ctx context.Context, url, token string) ([]string, error) {
					return applyFiles(ctx, url, token, files)
				}
			}
			live, err := readCluster(cmd.Context(), &which)
			if err != nil {
				return err
			}
			report, err := preview.Run(cmd.Context(), live, time.Now(), change)
			if err != nil {
				return err
			}
			if output == "json" {
				data, err := report.JSON()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(data)
				return err
			}
			return report.Print(cmd.OutOrStdout())
		},
	}
	which.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVarP(&files, "filename", "f", nil, "manifests to apply: files or directories")
	f.StringSliceVar(&change.Drain, "drain", nil, "node to drain")
	f.StringSliceVar(&change.Lose, "lose-node", nil, "node that dies")
	f.DurationVar(&change.For, "for", 0, "how long to go on afterwards, in the copy's own time (default 2m; 7m where a node dies)")
	f.StringVarP(&output, "output", "o", "", "json, for programs")
	return cmd
}

// restConfig is how to reach the cluster: this machine's by its name, else as
// kubectl would.
func (s *selection) restConfig(cmd string) (*rest.Config, error) {
	paths, err := s.paths()
	if err != nil {
		return nil, err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if file := paths.Kubeconfig(); readable(file) && (os.Getenv("KUBECONFIG") == "" || s.name != cluster.DefaultName || s.dataDir != "") {
		rules.ExplicitPath = file
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster to %s: %w; start one with \"skiff up\", or set KUBECONFIG", cmd, err)
	}
	return config, nil
}

// readCluster reads all objects of the cluster.
func readCluster(ctx context.Context, which *selection) (*view.View, error) {
	config, err := which.restConfig("preview")
	if err != nil {
		return nil, err
	}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	remote := client.RemoteConfig{Server: config.Host, HTTP: http}
	for _, kind := range resource.All() {
		if !kind.Computed {
			remote.Watched = append(remote.Watched, client.Watched{Kind: kind})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r := client.NewRemote(remote)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if err := r.Synced(ctx); err != nil {
		return nil, fmt.Errorf("read the cluster: %w", err)
	}
	v := r.Cache().View()
	cancel()
	<-ended
	return v, nil
}

// applyFiles runs kubectl apply against the copy. What it refuses is part of the
// answer; that kubectl cannot be run, or the files not read, is not.
func applyFiles(ctx context.Context, url, token string, files []string) (refused []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	args := []string{"kubectl", "--kubeconfig", os.DevNull, "--server", url, "--token", token, "apply", "--recursive"}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil && file != "-" && !strings.Contains(file, "://") {
			return nil, fmt.Errorf("--filename %s: %w", file, err)
		}
		args = append(args, "--filename", file)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdin, cmd.Stderr = os.Stdin, &stderr
	err = cmd.Run()
	for line := range strings.Lines(stderr.String()) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Warning:") {
			refused = append(refused, line)
		}
	}
	if err != nil && len(refused) == 0 {
		return nil, fmt.Errorf("run kubectl apply: %w", err)
	}
	return refused, nil
}
