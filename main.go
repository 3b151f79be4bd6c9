// Skiff is Kubernetes in one binary. See README.md.
package main

import (
	"os"

	"github.com/skiff-sh/skiff/cli"
)

func main() { os.Exit(cli.Main(os.Args, os.Stdout, os.Stderr)) }
