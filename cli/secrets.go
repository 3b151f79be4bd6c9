package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
)

func secretsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "How secrets are encrypted in the store, and the change of their key",
	}
	cmd.AddCommand(
		encryptionCommand("status", "Show what is encrypted, and with which key", cluster.ReadEncryption),
		encryptionCommand("rotate-key", "Make a new key, and encrypt everything anew with it", cluster.RotateEncryptionKey),
	)
	return cmd
}

// encryptionCommand shows what ask tells of the encryption.
func encryptionCommand(use, short string, ask func(context.Context, cluster.Config) (cluster.Encryption, error)) *cobra.Command {
	var which selection
	output := ""
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			e, err := ask(cmd.Context(), config)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(e)
			}
			printEncryption(cmd, config, e)
			return nil
		},
	}
	which.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func printEncryption(cmd *cobra.Command, config cluster.Config, e cluster.Encryption) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "encrypted in the store: %s (AES-256-GCM)\n", strings.Join(e.Resources, ", "))
	fmt.Fprintf(out, "key:                    %s\n", e.Keys[0])
	if len(e.Keys) > 1 {
		fmt.Fprintf(out, "older keys:             %s\n", strings.Join(e.Keys[1:], ", "))
	}
	fmt.Fprintf(out, "kept in:                %s\n", config.Paths().EncryptionKeys())
	if e.Encrypted > 0 {
		fmt.Fprintf(out, "encrypted anew:         %d\n", e.Encrypted)
	}
	if e.Pending {
		fmt.Fprintln(out, "some objects are not encrypted with this key yet; the server is at it")
	}
}
