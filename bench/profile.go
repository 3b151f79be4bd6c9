package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// buildProfiled makes the runs serve with a Skiff that profiles itself while
// something is measured.
func (b *bench) buildProfiled() error {
	file, err := filepath.Abs(b.profile)
	if err != nil {
		return fmt.Errorf("-profile %q: %w", b.profile, err)
	}
	binary, err := filepath.Abs(filepath.Join(cache, "profiled"))
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", binary, "./profiled")
	build.Stderr = os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as Skiff itself
	if err := build.Run(); err != nil {
		return fmt.Errorf("build a profiled server: %w", err)
	}
	b.serve = []string{binary, file, "server"}
	return nil
}
