package cli

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/skiff-sh/skiff/cluster"
)

// kubectlCommand is only there for help and completion: Main runs kubectl
// before flags are read, since they are all kubectl's own.
func kubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl ...",
		Short:              "Run upstream's kubectl, on this machine's cluster unless KUBECONFIG or --kubeconfig says otherwise",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			return exitError(runKubectl(append([]string{"kubectl"}, args...)))
		},
	}
}

// runKubectl is upstream's kubectl. Without a configuration of the user's own it
// talks to the default cluster of this machine.
func runKubectl(args []string) int {
	if err := ownCluster(); err != nil {
		return 1
	}
	os.Args = args // kubectl looks for plugins by its own arguments
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	command := kubectl.NewDefaultKubectlCommandWithArgs(kubectl.KubectlOptions{
		PluginHandler: kubectl.NewDefaultPluginHandler([]string{"kubectl"}),
		Arguments:     args,
		IOStreams:     streams,
	})
	command.SetArgs(args[1:])
	if err := command.Execute(); err != nil {
		kubectlutil.CheckErr(err)
		return 1
	}
	return 0
}

// ownCluster lets what reads a kubeconfig find the default cluster of this
// machine, where the user has named none.
func ownCluster() error {
	file := cluster.DefaultPaths("").Kubeconfig()
	if os.Getenv("KUBECONFIG") != "" || !readable(file) {
		return nil
	}
	return os.Setenv("KUBECONFIG", file)
}

func readable(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
