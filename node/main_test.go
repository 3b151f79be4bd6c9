package node_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/skiff-sh/skiff/test/netspace"
)

// TestMain gives the tests a network of their own: several runs may be on one
// machine, and all use the same addresses. Without root there are no containers.
func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		os.Exit(m.Run())
	}
	if netspace.Inside() {
		if err := netspace.Wire(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	status, err := netspace.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}
