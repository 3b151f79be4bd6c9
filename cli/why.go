package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/skiff-sh/skiff/scheduler/why"
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
			v, namespace, err := look(ctx, flags, why.Kinds())
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
	lookFlags(cmd, flags)
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

func printAnswer(w io.Writer, a *why.Answer, output string) error {
	if output != "json" {
		a.Print(w)
		return nil
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(a)
}
