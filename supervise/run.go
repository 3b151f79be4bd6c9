package supervise

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/supervise/restart"
)

// markEnv is set in the environment of every process we start, to the name of
// its record: the way back to a process that we started but did not live to
// write down.
const markEnv = "SKIFF_SUPERVISED="

// run is one life of a process, ours or adopted.
type run struct {
	pid   int
	ticks uint64   // start time, in clock ticks after boot: tells a reused pid
	pidfd *os.File // in the runtime's poller, so that waiting takes no thread
	ended chan string
}

// start starts the process in its own session: a signal to our process group
// and our own death leave it alone.
func start(cfg Config) (*run, error) {
	out, err := openLog(cfg.Log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	env := cfg.Env
	if env == nil {
		env = os.Environ()
	}
	pidfd := -1
	proc, err := os.StartProcess(cfg.Argv[0], cfg.Argv, &os.ProcAttr{
		Dir: "/", Env: append(env[:len(env):len(env)], markEnv+cfg.Record),
		Files: []*os.File{null, out, out},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Argv[0], err)
	}
	pid := proc.Pid
	_ = proc.Release() // the pidfd below is ours; waiting is ours too
	if pidfd < 0 {
		if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			return nil, fmt.Errorf("open pidfd of %s: %w", cfg.Argv[0], err)
		}
	}
	st, _ := readStat(pid) // a zombie at worst: it is our child, its pid is not reused
	return newRun(pid, st.ticks, pidfd, true)
}

// adopt returns the living process that the record speaks of, or nil.
func adopt(rec Record, argv []string, record string) *run {
	pid, ticks := rec.PID, rec.Ticks
	if rec.Boot != "" && rec.Boot != bootID() {
		return nil
	}
	if pid == 0 && rec.Phase == restart.Starting {
		pid, ticks = find(argv, record)
	}
	if pid <= 0 {
		return nil
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	// Only now that the pidfd pins the process does the comparison say something.
	st, err := readStat(pid)
	if err != nil || st.ticks != ticks || st.state == 'Z' || st.state == 'X' {
		unix.Close(pidfd)
		return nil
	}
	r, err := newRun(pid, ticks, pidfd, false)
	if err != nil {
		return nil
	}
	return r
}

func newRun(pid int, ticks uint64, pidfd int, child bool) (*run, error) {
	if err := unix.SetNonblock(pidfd, true); err != nil {
		return nil, fmt.Errorf("set pidfd non-blocking: %w", err)
	}
	r := &run{pid: pid, ticks: ticks, pidfd: os.NewFile(uintptr(pidfd), "pidfd"), ended: make(chan string, 1)}
	conn, err := r.pidfd.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("poll pidfd: %w", err)
	}
	go func() {
		err := conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
		if err != nil && !errors.Is(err, os.ErrClosed) {
			// The poller cannot wait on pidfds (kernels before 5.3 have none at all).
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		}
		r.ended <- r.reap(child)
	}()
	return r, nil
}

func readable(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return n != 0 || err != nil
		}
	}
}

// reap collects a child's exit status and says how the process ended.
func (r *run) reap(child bool) string {
	defer r.pidfd.Close()
	if !child {
		return "ended (not our child: exit status unknown)"
	}
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(r.pid, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return "ended (exit status unknown)"
		case ws.Signaled():
			return "killed by " + ws.Signal().String()
		default:
			return fmt.Sprintf("exit status %d", ws.ExitStatus())
		}
	}
}

// signal cannot hit another process: a pidfd never refers to a reused pid.
func (r *run) signal(sig syscall.Signal) {
	conn, err := r.pidfd.SyscallConn()
	if err != nil {
		return // already reaped
	}
	_ = conn.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
}

// Alive reports whether the process of a record runs.
func (r Record) Alive() bool {
	if r.PID <= 0 || r.Boot != bootID() {
		return false
	}
	st, err := readStat(r.PID)
	return err == nil && st.ticks == r.Ticks && st.state != 'Z' && st.state != 'X'
}
