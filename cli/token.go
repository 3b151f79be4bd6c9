package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
)

func tokenCommand() *cobra.Command {
	var which selection
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Tokens by which other machines join (\"skiff agent --token\")",
		Long: `Print the cluster's own token, by which other machines join with "skiff agent".
It is valid until it is revoked; another takes its place then. The commands below make
and revoke others.`,
		Args: cobra.NoArgs,
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
	cmd.AddCommand(tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
	return cmd
}

// tokenLife is how long a token is valid for which no other time is given.
const tokenLife = 24 * time.Hour

func tokenCreateCommand() *cobra.Command {
	var which selection
	ttl, description, output := tokenLife, "", ""
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a token that expires, and print it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			token, err := cluster.CreateJoinToken(cmd.Context(), config, ttl, description)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(token)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token.Token)
			return err
		},
	}
	which.flags(cmd)
	cmd.Flags().DurationVar(&ttl, "ttl", ttl, "how long it is valid, 0 for ever")
	cmd.Flags().StringVar(&description, "description", "", "what it is for; \"skiff token list\" shows it")
	outputFlag(cmd, &output)
	return cmd
}

func tokenListCommand() *cobra.Command {
	var which selection
	output := ""
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the bootstrap tokens, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			tokens, err := cluster.BootstrapTokens(cmd.Context(), config)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(tokens)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tEXPIRES\tUSAGES\tDESCRIPTION")
			for _, t := range tokens {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.ID, expiry(t.Expires, time.Now()), strings.Join(t.Usages, ","), t.Description)
			}
			return w.Flush()
		},
	}
	which.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// expiry is a token's end for people to read.
func expiry(end string, now time.Time) string {
	if end == "" {
		return "never"
	}
	if at, err := time.Parse(time.RFC3339, end); err != nil || !at.After(now) {
		return end + " (expired)"
	}
	return end
}

func tokenRevokeCommand() *cobra.Command {
	var which selection
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a token void; nodes that have joined by it stay",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			return cluster.RevokeToken(cmd.Context(), config, args[0])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			config, _, err := which.config()
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			tokens, err := cluster.BootstrapTokens(cmd.Context(), config)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var ids []string
			for _, t := range tokens {
				ids = append(ids, t.ID+"\t"+t.Description)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
	}
	which.flags(cmd)
	return cmd
}
