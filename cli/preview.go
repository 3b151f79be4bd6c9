package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/skiff-sh/skiff/preview"
	"github.com/skiff-sh/skiff/resource"
)

func previewCommand() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	var change preview.Change
	var files []string
	output, timeout := "", 10*time.Minute
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
				change.Apply = func(ctx context.Context, a preview.Access) ([]string, error) {
					return applyFiles(ctx, a, files)
				}
			}
			ctx, cancel := contextWithTimeout(cmd, timeout)
			defer cancel()
			live, _, err := look(ctx, flags, storedKinds())
			if err != nil {
				return err
			}
			report, err := preview.Run(ctx, live, time.Now(), change)
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
	lookFlags(cmd, flags)
	f := cmd.Flags()
	f.StringSliceVarP(&files, "filename", "f", nil, "manifests to apply: files or directories")
	f.StringSliceVar(&change.Drain, "drain", nil, "node to drain")
	f.StringSliceVar(&change.Lose, "lose-node", nil, "node that dies")
	f.DurationVar(&change.For, "for", 0, "how long to go on afterwards, in the copy's own time (default 2m; 7m where a node dies)")
	f.DurationVar(&timeout, "timeout", timeout, "give up after this time")
	f.StringVarP(&output, "output", "o", "", "json, for programs")
	return cmd
}

// storedKinds are all kinds but those that the server works out when asked.
func storedKinds() []*resource.Info {
	return slices.DeleteFunc(resource.All(), func(kind *resource.Info) bool { return kind.Computed })
}

// applyFiles runs kubectl apply against the copy. What it refuses is part of the
// answer; that kubectl cannot be run, or the files not read, is not.
func applyFiles(ctx context.Context, a preview.Access, files []string) (refused []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "skiff-preview-")
	if err != nil {
		return nil, fmt.Errorf("keep the copy's certificate: %w", err)
	}
	defer os.RemoveAll(dir)
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, a.CA, 0o600); err != nil {
		return nil, fmt.Errorf("keep the copy's certificate: %w", err)
	}
	args := []string{"kubectl", "--kubeconfig", os.DevNull, "--server", a.URL, "--token", a.Token, "--certificate-authority", ca, "apply", "--recursive"}
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
