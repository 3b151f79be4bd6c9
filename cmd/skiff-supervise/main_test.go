package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/supervise"
)

func TestMain(m *testing.M) {
	if os.Getenv("SUPERVISE_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// self is this test binary acting as skiff-supervise.
func self(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SUPERVISE_TEST_MAIN=1")
	return cmd
}

func TestBadArguments(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--log l -- /bin/true", "--pidfile is empty"},
		{"--pidfile p -- /bin/true", "--log is empty"},
		{"--pidfile p --log l", "no command"},
		{"--pidfile p --log l -- true", `command "true": give its full path`},
	} {
		if _, err := parse(strings.Fields(c.args)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.args, err, c.want)
		}
	}
}

// The whole life: to the background, child killed, ourselves killed, taken
// over, refused a second time, stopped.
func TestLife(t *testing.T) {
	dir := t.TempDir()
	pidfile := filepath.Join(dir, "pid")
	args := []string{"--detach", "--pidfile", pidfile, "--log", filepath.Join(dir, "log"), "--", "/bin/sleep", "2000"}
	start := func() {
		t.Helper()
		if out, err := self(args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Cleanup(func() { // whatever is left when a check below fails
		if p := readPid(pidfile); p > 0 {
			_ = unix.Kill(p, unix.SIGKILL)
		}
		if r, err := supervise.ReadRecord(pidfile + ".state"); err == nil && r.Alive() {
			_ = unix.Kill(r.PID, unix.SIGKILL)
		}
	})
	start()
	first := child(t, pidfile)
	_ = unix.Kill(first.PID, unix.SIGKILL)
	second := awaitChild(t, pidfile, first.PID)

	killAndWait(t, readPid(pidfile), unix.SIGKILL)
	if !second.Alive() {
		t.Fatal("the child died with its supervisor")
	}
	start()
	if got := child(t, pidfile); got.PID != second.PID {
		t.Fatalf("child %d was started beside %d", got.PID, second.PID)
	}
	out, err := self(args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "already runs as pid") {
		t.Errorf("second supervisor: %v, %s", err, out)
	}
	killAndWait(t, readPid(pidfile), unix.SIGTERM)
	if second.Alive() {
		t.Error("the child outlived an orderly stop")
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 || left[0].Name() != "log" {
		t.Errorf("left behind: %v", left)
	}
}

func child(t *testing.T, pidfile string) supervise.Record {
	t.Helper()
	r, err := supervise.ReadRecord(pidfile + ".state")
	if err != nil || !r.Alive() {
		t.Fatalf("child: %+v, %v", r, err)
	}
	return r
}

// awaitChild waits for another child than old, woken by the state file.
func awaitChild(t *testing.T, pidfile string, old int) supervise.Record {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(pidfile), unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		if r, err := supervise.ReadRecord(pidfile + ".state"); err == nil && r.PID != old && r.Alive() {
			return r
		}
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n == 0 {
			t.Fatal("child was not started again within 5 s")
		}
		_, _ = unix.Read(fd, buf)
	}
}

func readPid(file string) int {
	data, _ := os.ReadFile(file)
	pid := 0
	for _, c := range strings.TrimSpace(string(data)) {
		pid = pid*10 + int(c-'0')
	}
	return pid
}

func killAndWait(t *testing.T, pid int, sig unix.Signal) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_ = unix.Kill(pid, sig)
	deadline := 10 * time.Second
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(deadline.Milliseconds())); n != 1 {
		t.Fatalf("pid %d still runs %v after %v: %v", pid, deadline, sig, err)
	}
}
