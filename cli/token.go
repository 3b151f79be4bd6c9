package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
)

func tokenCommand() *cobra.Command {
	var which selection
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print the token by which another machine joins (\"skiff agent --token\")",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			paths, err := which.paths()
			if err != nil {
				return err
			}
			token, err := cluster.ReadJoinToken(paths)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), token)
			return err
		},
	}
	which.flags(cmd)
	return cmd
}
