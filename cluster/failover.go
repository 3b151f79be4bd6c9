package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Fail-over, where a cluster has asked for it (Config.Failover): a node's lease is
// short, pods tolerate the loss of their node for a short time only, and a node that
// cannot renew its lease stops its pods before that time is over.
// docs/decisions tells why it is safe, and of which clocks.
const (
	failoverLease = 2 * time.Second
	// failoverStay is what pods tolerate that do not say, in seconds.
	failoverStay = 5
	// fenceJoin is how long an agent that begins may try to reach the server before
	// it ends the pods that it finds: it does not know when it was last heard.
	fenceJoin = time.Second
)

// evictAfter is the default of pods' tolerations in seconds, 0 for upstream's.
func (c *Config) evictAfter() int64 {
	if c.Failover {
		return failoverStay
	}
	return 0
}

// boundedByFence bounds the time that a node which fences itself tries to join.
func (c *AgentConfig) boundedByFence(ctx context.Context) (context.Context, context.CancelFunc) {
	if !c.Failover {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, fenceJoin)
}

// fenceUnjoined ends what runs of the node's pods where the server could not be
// reached. Once it can, the agent starts those anew that are still the node's.
func (c *AgentConfig) fenceUnjoined(cause error) error {
	var network net.Error
	if !c.Failover || !errors.As(cause, &network) && !errors.Is(cause, context.DeadlineExceeded) {
		return nil
	}
	pods := NodeConfig{ID: (&Config{Name: agentName, ID: c.ID, DataDir: c.DataDir}).id()}
	for _, pid := range groupProcesses(pods.group()) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d of a pod: %w", pid, err)
		}
	}
	return nil
}
