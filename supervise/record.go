package supervise

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-sh/skiff/supervise/restart"
)

// Record is what the record file holds: enough to tell, after a crash of ours,
// whether the process we started still is that process.
type Record struct {
	Phase      restart.Phase `json:"phase"`
	PID        int           `json:"pid,omitempty"`
	Ticks      uint64        `json:"startTicks,omitempty"` // field 22 of /proc/PID/stat
	Boot       string        `json:"boot,omitempty"`       // kernel's boot id: pids and ticks start over
	Key        string        `json:"key,omitempty"`
	Restarts   int           `json:"restarts"`
	LastExit   string        `json:"lastExit,omitempty"`
	LastExitAt time.Time     `json:"lastExitAt,omitzero"`
}

// ReadRecord reads a record file.
func ReadRecord(file string) (Record, error) {
	var r Record
	data, err := os.ReadFile(file)
	if err != nil {
		return r, fmt.Errorf("read process record: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("read process record %s: %w", file, err)
	}
	return r, nil
}

// write replaces the file in one step, so that a reader and a crash see the
// old or the new record. No fsync: after a power loss there is nothing to adopt.
func (r Record) write(file string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode process record: %w", err)
	}
	tmp := file + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write process record: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("write process record: %w", err)
	}
	return nil
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(data))
}

type stat struct {
	state byte
	ticks uint64
}

// readStat reads a process's state and start time (proc(5), fields 3 and 22).
func readStat(pid int) (stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The name, field 2, may hold spaces and parentheses; the last ')' ends it.
	i := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[i+1:]))
	if i < 0 || len(fields) < 20 {
		return stat{}, fmt.Errorf("read /proc/%d/stat: unexpected contents", pid)
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	return stat{state: fields[0][0], ticks: ticks}, nil
}

// find looks for a process that we started with this record but whose pid the
// record does not hold, because we were killed between the two. Descendants
// carry the mark too, so the command line has to match as well.
func find(argv []string, record string) (pid int, ticks uint64) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cmd, err := os.ReadFile(dir + "/cmdline")
		if err != nil || !slices.Equal(splitZeros(cmd), argv) {
			continue
		}
		env, err := os.ReadFile(dir + "/environ")
		if err != nil || !slices.Contains(splitZeros(env), markEnv+record) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil && st.state != 'Z' {
			return pid, st.ticks
		}
	}
	return 0, 0
}

func splitZeros(data []byte) []string {
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}
