package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
)

func signingKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signing-keys",
		Short: "The keys that sign service accounts' tokens, and their change",
	}
	asking := func(ask func(context.Context, cluster.Config) (cluster.SigningKeys, error)) func(context.Context, cluster.Config, []string) (cluster.SigningKeys, error) {
		return func(ctx context.Context, config cluster.Config, _ []string) (cluster.SigningKeys, error) {
			return ask(ctx, config)
		}
	}
	cmd.AddCommand(
		signingKeyCommand("status", "Show the keys whose tokens are valid", 0, asking(cluster.ReadSigningKeys)),
		signingKeyCommand("rotate", "Make a new key sign; tokens of the old ones stay valid", 0, asking(cluster.RotateSigningKey)),
		signingKeyCommand("remove ID", "Remove an old key; the tokens that it signed are void then", 1,
			func(ctx context.Context, config cluster.Config, args []string) (cluster.SigningKeys, error) {
				return cluster.RemoveSigningKey(ctx, config, args[0])
			}),
	)
	return cmd
}

// signingKeyCommand shows the keys after what it does.
func signingKeyCommand(use, short string, args int, do func(context.Context, cluster.Config, []string) (cluster.SigningKeys, error)) *cobra.Command {
	var which selection
	output := ""
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			all, err := do(cmd.Context(), config, args)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			for i, key := range all.Keys {
				role := "checks"
				if i == 0 {
					role = "signs "
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s\n", role, key.ID, key.File)
			}
			return nil
		},
	}
	which.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}
