package cluster

import (
	"fmt"
	"os"

	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/scheduler/config"
)

// schedulerProfiles reads the scheduler's profiles; none, which is the default one,
// where there is no file.
func schedulerProfiles(file string) ([]scheduler.Profile, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config: %w; give a file with a KubeSchedulerConfiguration", err)
	}
	profiles, err := config.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config %s: %w", file, err)
	}
	return profiles, nil
}
