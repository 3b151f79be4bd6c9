// Command shell is sh in the busybox test image: busybox's own shell, whose
// messages tests compare. Debian's build of it drops variables whose names hold
// a dash, which other tests read: where there are such, bash serves.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

func main() {
	program := "/bin/busybox"
	if slices.ContainsFunc(os.Environ(), dashed) {
		program = "/bin/bash"
	}
	err := syscall.Exec(program, os.Args, os.Environ())
	fmt.Fprintf(os.Stderr, "sh: run %s: %v\n", program, err)
	os.Exit(126)
}

// dashed tells of a variable, written NAME=value, whether its name holds a dash.
func dashed(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return strings.Contains(name, "-")
}
