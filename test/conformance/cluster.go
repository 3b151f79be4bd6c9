package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// cluster is a running one.
type cluster struct {
	skiff string // the program
	name  string
	nodes int
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

// up starts the cluster, empty, with the test images on its nodes. Those that
// tests insist on pulling come from the registries of a directory.
func (c *cluster) up(ctx context.Context, images, registries string) error {
	if err := c.down(ctx); err != nil {
		return err
	}
	if err := c.run(ctx, "up", "--node-name", "node-1", "--nodes", strconv.Itoa(c.nodes), "--registries", registries); err != nil {
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
	dirs, err := filepath.Glob(filepath.Join(c.dir, "nodes", "*"))
	if err != nil {
		return fmt.Errorf("find the nodes' logs: %w", err)
	}
	for _, dir := range append(dirs, c.dir) {
		node := "" // the first node's log is the server's
		if dir != c.dir {
			node = filepath.Base(dir) + "-"
		}
		for _, name := range []string{"server.log", "containerd/containerd.log"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return fmt.Errorf("keep the cluster's logs: %w", err)
			}
			if err := os.WriteFile(filepath.Join(to, node+filepath.Base(name)), data, 0o644); err != nil {
				return fmt.Errorf("keep the cluster's logs: %w", err)
			}
		}
	}
	return nil
}
