// Package process starts programs, asks whether they are ready, and measures what
// they take.
package process

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a program that we have started. It ends with us.
type Process struct {
	Stdin io.WriteCloser
	Began time.Time

	cmd   *exec.Cmd
	log   string // file with what it prints
	ended chan struct{}
}

// Start runs a program in the background; stdout may be nil.
func Start(log string, stdout io.Writer, name string, args ...string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer out.Close()
	p := &Process{cmd: exec.Command(name, args...), log: log, ended: make(chan struct{}), Began: time.Now()}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.Stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.ended)
	}()
	return p, nil
}

// PID is the program's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal; the program may have ended already.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// LastWords is what the program said at its end.
func (p *Process) LastWords() string { return lastWords(p.log) }

// Stop ends the program, by force if it does not within 10 s.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Died is the error of a program that has ended, nil while it runs.
func (p *Process) Died() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended (%s): %s", filepath.Base(p.cmd.Path), p.cmd.ProcessState, lastWords(p.log))
	default:
		return nil
	}
}

// lastWords is what a program said at its end: its last lines, or the first of a
// crash, which ends with pages of stacks.
func lastWords(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "SIG") {
			return strings.Join(lines[i:min(len(lines), i+12)], " / ")
		}
	}
	return strings.Join(lines[max(0, len(lines)-2):], " / ")
}

// ticksPerSecond is the unit of /proc/PID/stat, which Linux fixes at 100.
const ticksPerSecond = 100

// CPUTime is the processor time that processes have used, in steps of 10 ms.
func CPUTime(pids ...int) (time.Duration, error) {
	ticks := 0
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		for _, text := range fields[11:13] { // utime, stime
			n, err := strconv.Atoi(text)
			if err != nil {
				return 0, fmt.Errorf("read processor time of process %d: %w", pid, err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// Memory is resident memory of processes in bytes. PSS counts pages shared with
// other processes by their share.
func Memory(pids ...int) (rss, pss float64, err error) {
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, 0, fmt.Errorf("read memory: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) < 2 || (fields[0] != "Rss:" && fields[0] != "Pss:") {
				continue
			}
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				return 0, 0, fmt.Errorf("read memory of process %d: %w", pid, err)
			}
			if fields[0] == "Rss:" {
				rss += float64(kib << 10)
			} else {
				pss += float64(kib << 10)
			}
		}
	}
	return rss, pss, nil
}

// Poll calls ok at short intervals until it returns nil, and returns its last
// error when the time is over or alive reports an error. It is for programs
// that can be asked but do not tell.
func Poll(limit, every time.Duration, alive func() error, ok func() error) error {
	for end := time.Now().Add(limit); ; time.Sleep(every) {
		err := ok()
		if err == nil {
			return nil
		}
		if dead := alive(); dead != nil {
			return dead
		}
		if time.Now().After(end) {
			return fmt.Errorf("gave up after %s: %w", limit, err)
		}
	}
}

// FreePort is a port of the loopback address that nobody uses now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
