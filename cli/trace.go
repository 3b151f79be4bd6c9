package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/skiff-sh/skiff/apiserver"
	"github.com/skiff-sh/skiff/cause"
)

func traceCommand() *cobra.Command {
	flags := genericclioptions.NewConfigFlags(true)
	output, timeout := "", 10*time.Second
	cmd := &cobra.Command{
		Use:   "trace KIND/NAME",
		Short: "Show what led to an object: from a user's request through controllers to it",
		Example: `  skiff trace pod/web-7d4b9c-x2x9k
  skiff trace deployment/web -n shop -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, name, ok := strings.Cut(args[0], "/")
			if !ok || kind == "" || name == "" || strings.Contains(name, "/") {
				return fmt.Errorf("%q: give KIND/NAME, such as pod/web-0", args[0])
			}
			if output != "" && output != "json" {
				return fmt.Errorf("--output %q: use json, or leave it out", output)
			}
			ctx, cancel := contextWithTimeout(cmd, timeout)
			defer cancel()
			trace, err := readTrace(ctx, flags, kind, name)
			if err != nil {
				return err
			}
			return printTrace(cmd.OutOrStdout(), trace, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or nothing for text")
	cmd.Flags().StringVarP(flags.Namespace, "namespace", "n", "", "the object's namespace (default that of the kubeconfig)")
	lookFlags(cmd, flags)
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "give up after this time")
	return cmd
}

// readTrace asks a cluster's server.
func readTrace(ctx context.Context, flags *genericclioptions.ConfigFlags, kind, name string) (*cause.Trace, error) {
	server, client, namespace, err := reach(flags)
	if err != nil {
		return nil, err
	}
	q := url.Values{"kind": {kind}, "namespace": {namespace}, "name": {name}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+apiserver.TracePath+"?"+q.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", apiserver.TracePath, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, refusal(res, data, server)
	}
	trace := &cause.Trace{}
	if err := json.Unmarshal(data, trace); err != nil {
		return nil, fmt.Errorf("decode %s: %w", apiserver.TracePath, err)
	}
	return trace, nil
}

// refusal is what the server says; a path that it does not know is another
// project's.
func refusal(res *http.Response, data []byte, server string) error {
	var status metav1.Status
	if json.Unmarshal(data, &status) == nil && status.Message != "" && status.Message != "the server could not find the requested resource" {
		return fmt.Errorf("%s", status.Message)
	}
	if res.StatusCode == http.StatusNotFound {
		return fmt.Errorf("the server at %s keeps no traces: it is not Skiff's, or an older one", server)
	}
	return fmt.Errorf("get %s: %s: %s", apiserver.TracePath, res.Status, data)
}

func printTrace(w io.Writer, t *cause.Trace, output string) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(t)
	}
	if len(t.Writes) == 0 {
		_, err := fmt.Fprintf(w, "what led to %s/%s is no longer remembered: it was written too long ago\n", t.Object.Resource, t.Object.Name)
		return err
	}
	t.Print(w, time.Local)
	return nil
}
