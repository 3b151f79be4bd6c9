package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
	"github.com/skiff-sh/skiff/doctor"
)

func doctorCommand() *cobra.Command {
	var which selection
	output := ""
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks for a cluster, and the mend",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			findings := cluster.Examine(config)
			if output == "json" {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(findings)
			} else {
				err = printFindings(cmd, findings)
			}
			for _, f := range findings {
				if err == nil && f.Level == doctor.Failure {
					return exitError(1)
				}
			}
			return err
		},
	}
	which.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func printFindings(cmd *cobra.Command, findings []doctor.Finding) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	failures, warnings := 0, 0
	for _, f := range findings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Level, f.Check, f.Detail)
		if f.Mend != "" {
			fmt.Fprintf(w, "\t\t→ %s\n", f.Mend)
		}
		switch f.Level {
		case doctor.Failure:
			failures++
		case doctor.Warning:
			warnings++
		}
	}
	fmt.Fprintf(w, "%d checks, %d warnings, %d failures\n", len(findings), warnings, failures)
	return w.Flush()
}
