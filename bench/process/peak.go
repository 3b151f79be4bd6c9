package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ResetPeak makes Peak count from now on.
func ResetPeak(pids ...int) error {
	for _, pid := range pids {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return fmt.Errorf("reset peak of memory: %w", err)
		}
	}
	return nil
}

// Peak is the highest resident memory since ResetPeak, in bytes.
func Peak(pids ...int) (peak float64, err error) {
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, fmt.Errorf("read peak of memory: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			text, ok := strings.CutPrefix(line, "VmHWM:")
			if !ok {
				continue
			}
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			if err != nil {
				return 0, fmt.Errorf("read peak of memory of process %d: %w", pid, err)
			}
			peak += float64(kib << 10)
		}
	}
	return peak, nil
}
