package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
)

func imageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Load and list the images of a cluster's nodes on this machine"}
	cmd.AddCommand(imageLoadCommand(), imageListCommand())
	return cmd
}

func imageLoadCommand() *cobra.Command {
	var which selection
	node := ""
	cmd := &cobra.Command{
		Use:   "load FILE...",
		Short: "Load image archives: OCI, or as \"docker save\" writes them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			return cluster.LoadImages(cmd.Context(), config, node, args, func(name string) {
				fmt.Fprintf(cmd.OutOrStdout(), "loaded %s\n", name)
			})
		},
	}
	which.flags(cmd)
	cmd.Flags().StringVar(&node, "node", "", "load into this node alone (default all of the cluster's on this machine)")
	return cmd
}

func imageListCommand() *cobra.Command {
	var which selection
	output, node := "", ""
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List images",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			images, err := cluster.ListImages(cmd.Context(), config, node)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(images)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "IMAGE\tID\tSIZE")
			for _, i := range images {
				fmt.Fprintf(w, "%s\t%.12s\t%.1f MiB\n", i.Name, i.ID, float64(i.Bytes)/(1<<20))
			}
			return w.Flush()
		},
	}
	which.flags(cmd)
	cmd.Flags().StringVar(&node, "node", "", "the node to look at (default the cluster's first on this machine)")
	outputFlag(cmd, &output)
	return cmd
}
