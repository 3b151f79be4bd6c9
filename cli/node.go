package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-sh/skiff/cluster"
)

func nodeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "List nodes, and add, stop, partition and remove those of this machine"}
	cmd.AddCommand(
		nodeListCommand(), nodeAddCommand(), nodeStartCommand(),
		nodeActCommand("stop", "Turn a node off at once, as when a machine loses its power", func(cmd *cobra.Command, c cluster.Config, name string) error {
			return cluster.StopNode(cmd.Context(), c, name)
		}),
		nodeActCommand("partition", "Cut a node's link; its pods go on", func(_ *cobra.Command, c cluster.Config, name string) error {
			return cluster.CutNode(c, name, true)
		}),
		nodeActCommand("heal", "Put a node's link back", func(_ *cobra.Command, c cluster.Config, name string) error {
			return cluster.CutNode(c, name, false)
		}),
		nodeActCommand("remove", "Turn a node off, and remove it and its data", func(cmd *cobra.Command, c cluster.Config, name string) error {
			return cluster.RemoveNode(cmd.Context(), c, name)
		}),
		nodeKubectlCommand("cordon", "Let no more pods onto a node"),
		nodeKubectlCommand("uncordon", "Let pods onto a node again"),
		nodeKubectlCommand("drain", "Move a node's pods elsewhere, and let no more onto it"),
	)
	return cmd
}

func nodeListCommand() *cobra.Command {
	var which selection
	output := ""
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List a cluster's nodes, and whether those on this machine run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			nodes, err := cluster.ListNodes(cmd.Context(), config)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(nodes)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NODE\tSTATUS\tMACHINE\tADDRESS\tPODS")
			for _, n := range nodes {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Name, readiness(n.Ready), n.Machine, n.Address, n.Pods)
			}
			return w.Flush()
		},
	}
	which.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func readiness(ready bool) string {
	if ready {
		return "Ready"
	}
	return "NotReady"
}

func nodeAddCommand() *cobra.Command {
	var which selection
	timeout := time.Minute
	cmd := &cobra.Command{
		Use: "add [NAME]", Short: "Add a node in a network namespace of this machine", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			ctx, cancel := contextWithTimeout(cmd, timeout)
			defer cancel()
			name, err := cluster.AddNode(ctx, config, append(args, "")[0], progressTo(cmd))
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "node %s added\n", name)
			}
			return err
		},
	}
	which.flags(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "give up waiting after this time")
	return cmd
}

func nodeStartCommand() *cobra.Command {
	timeout := time.Minute
	cmd := nodeActCommand("start", "Turn a node on", func(cmd *cobra.Command, c cluster.Config, name string) error {
		ctx, cancel := contextWithTimeout(cmd, timeout)
		defer cancel()
		return cluster.StartNode(ctx, c, name, progressTo(cmd))
	})
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "give up waiting after this time")
	return cmd
}

// nodeActCommand does one thing to one node of this machine.
func nodeActCommand(verb, short string, act func(*cobra.Command, cluster.Config, string) error) *cobra.Command {
	var which selection
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := which.config()
			if err != nil {
				return err
			}
			if err := act(cmd, config, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "node %s: %s done\n", args[0], verb)
			return nil
		},
	}
	which.flags(cmd)
	return cmd
}

// nodeKubectlCommand is a command of kubectl on the cluster that the flags name.
func nodeKubectlCommand(verb, short string) *cobra.Command {
	var which selection
	cmd := &cobra.Command{
		Use: verb + " NAME [-- FLAG...]", Short: short, Args: cobra.MinimumNArgs(1),
		Long: short + ".\n\nThis is \"kubectl " + verb + "\"; flags after -- are its own.",
		RunE: func(_ *cobra.Command, args []string) error {
			paths, err := which.paths()
			if err != nil {
				return err
			}
			if !readable(paths.Kubeconfig()) {
				return fmt.Errorf("cluster %q has no kubeconfig that can be read: start it with \"skiff up\"", which.name)
			}
			if err := os.Setenv("KUBECONFIG", paths.Kubeconfig()); err != nil {
				return err
			}
			if status := runKubectl(append([]string{"kubectl", verb}, args...)); status != 0 {
				return exitError(status)
			}
			return nil
		},
	}
	which.flags(cmd)
	return cmd
}
