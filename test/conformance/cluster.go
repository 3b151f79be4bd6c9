package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// cluster is a running one.
type cluster struct {
	skiff string // the program
	name  string
	dir   string // its data
	log   io.Writer
}

func (c *cluster) run(ctx context.Context, args ...string) error {
	args = append(args, "--name", c.name, "--data-dir", c.dir)
	cmd := exec.CommandContext(ctx, c.skiff, args...)
	cmd.Stdout, cmd.Stderr = c.log, c.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("skiff %s: %w", args[0], err)
	}
	return nil
}

// up starts the cluster, empty, with the test images on its node. Those that
// tests insist on pulling come from the registries of a directory.
func (c *cluster) up(ctx context.Context, images, registries string) error {
	if err := c.down(ctx); err != nil {
		return err
	}
	if err := c.run(ctx, "up", "--node-name", "node-1", "--registries", registries); err != nil {
		return err
	}
	return c.run(ctx, "image", "load", images)
}

func (c *cluster) down(ctx context.Context) error {
	return c.run(ctx, "down", "--purge")
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// keepLogs copies what the cluster wrote to where its data is not removed.
func (c *cluster) keepLogs(to string) error {
	for _, name := range []string{"server.log", "containerd/containerd.log"} {
		data, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil {
			return fmt.Errorf("keep the cluster's logs: %w", err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), data, 0o644); err != nil {
			return fmt.Errorf("keep the cluster's logs: %w", err)
		}
	}
	return nil
}
