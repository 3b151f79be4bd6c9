package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/apiserver"
)

func versionCommand() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of Skiff and of the Kubernetes API that it speaks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := struct {
				Skiff      string `json:"skiff"`
				Kubernetes string `json:"kubernetes"`
				Go         string `json:"go"`
				Platform   string `json:"platform"`
			}{skiffVersion(), apiserver.KubernetesVersion, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "skiff %s (Kubernetes %s, %s, %s)\n", info.Skiff, info.Kubernetes, info.Go, info.Platform)
			return err
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// skiffVersion is the module's version where it was built as one, else the
// commit.
func skiffVersion() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := build.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "devel"
}

// outputFlag adds --output, which takes "json" or nothing.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", `"json" for machines`)
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *output != "" && *output != "json" {
			return fmt.Errorf("--output %q is not known: use \"json\", or leave it out for text", *output)
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}
