package containerd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// DetectHost asks the kernel what Host says.
func DetectHost() (Host, error) {
	var h Host
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return h, fmt.Errorf("read our capabilities: %w", err)
	}
	h.LowersOOMScores = caps[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
	return h, nil
}
