// Package cli is the command line: one file per command.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs the command line and returns the exit status. A link named kubectl
// makes the binary kubectl.
func Main(args []string, stdout, stderr io.Writer) int {
	if strings.HasPrefix(filepath.Base(args[0]), "kubectl") {
		return runKubectl(args)
	}
	if len(args) > 1 && args[1] == "kubectl" {
		return runKubectl(append([]string{"kubectl"}, args[2:]...))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args[1:])
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		var quiet exitError
		if errors.As(err, &quiet) {
			return int(quiet)
		}
		fmt.Fprintf(stderr, "skiff: %v\n", err)
		return 1
	}
	return 0
}

// exitError ends the program with a status, after the command has already said
// why.
type exitError int

// Error implements error.
func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "skiff",
		Short: "Kubernetes in one small binary",
		Long: `Skiff is all of Kubernetes in one binary: start a cluster with "skiff up",
use it with "skiff kubectl" or any other client, end it with "skiff down".`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		upCommand(), downCommand(), statusCommand(), serverCommand(), agentCommand(),
		kubectlCommand(), kubeconfigCommand(), tokenCommand(), whyCommand(), traceCommand(), previewCommand(), secretsCommand(), signingKeysCommand(),
		imageCommand(), nodeCommand(), doctorCommand(), versionCommand(),
	)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see \"%s --help\"", err, cmd.CommandPath())
	})
	return root
}
