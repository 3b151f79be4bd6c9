package supervise

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-sh/skiff/supervise/restart"
)

// The test binary itself plays the supervisor that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SUPERVISE_TEST_DIR"); dir != "" {
		p, err := Start(sleeper(dir))
		if err != nil {
			panic(err)
		}
		fmt.Println(p.Record().PID, p.Adopted())
		select {}
	}
	os.Exit(m.Run())
}

func sleeper(dir string) Config {
	return Config{
		Argv:   []string{"/bin/sleep", "1000"},
		Record: filepath.Join(dir, "record"),
		Policy: restart.Policy{Min: time.Millisecond},
	}
}

// begin starts cfg and stops it when the test ends, however it ends.
func begin(t *testing.T, cfg Config) *Process {
	t.Helper()
	p, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		select {
		case <-p.Done():
		default:
			if err := p.Stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestRestartsAfterKill(t *testing.T) {
	cfg := sleeper(t.TempDir())
	exits := make(chan struct{}, 1)
	cfg.OnExit = func() { exits <- struct{}{} }
	p := begin(t, cfg)
	first := p.Record().PID
	kill(t, first)
	<-exits
	rec := awaitRunning(t, p)
	if rec.PID == first || rec.Restarts != 1 || rec.LastExit != "killed by killed" {
		t.Errorf("record after a kill: %+v", rec)
	}
	if disk, err := ReadRecord(cfg.Record); err != nil || !disk.Alive() {
		t.Errorf("record on disk: %+v, %v", disk, err)
	}
}

// awaitRunning waits, by watching the record file, until the process runs.
func awaitRunning(t *testing.T, p *Process) Record {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(p.cfg.Record), unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		if r := p.Record(); r.Phase == restart.Running && r.PID != 0 {
			return r
		}
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n == 0 {
			t.Fatalf("not running after 5 s: %+v, %v", p.Record(), err)
		}
		_, _ = unix.Read(fd, buf)
	}
}

func TestStopEndsTheProcessAndTheRecord(t *testing.T) {
	cfg := sleeper(t.TempDir())
	p := begin(t, cfg)
	pid := p.Record().PID
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if unix.Kill(pid, 0) == nil {
		t.Error("process still exists")
	}
	if _, err := os.Stat(cfg.Record); err == nil {
		t.Error("record still exists")
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	cfg := sleeper(t.TempDir())
	cfg.Log = filepath.Join(t.TempDir(), "log")
	cfg.Argv = []string{"/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1000; done"}
	cfg.Policy.Grace = time.Millisecond
	p := begin(t, cfg)
	sid := p.Record().PID
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	_ = unix.Kill(-sid, unix.SIGKILL) // the shell's own child
}

func TestCannotStart(t *testing.T) {
	cfg := sleeper(t.TempDir())
	cfg.Argv = []string{"/does/not/exist"}
	if _, err := Start(cfg); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("error does not name the program: %v", err)
	}
}

// A supervisor is killed; its process lives on and the next one takes it over.
func TestAdoptsAfterOurOwnDeath(t *testing.T) {
	for _, c := range []struct {
		name   string
		forget func(*Record) // what the crash kept us from writing
	}{
		{"whole record", func(*Record) {}},
		{"killed before the pid was written", func(r *Record) { r.PID, r.Ticks, r.Phase = 0, 0, restart.Starting }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := sleeper(t.TempDir())
			pid := dieSupervising(t, filepath.Dir(cfg.Record))
			rec, err := ReadRecord(cfg.Record)
			if err != nil {
				t.Fatal(err)
			}
			c.forget(&rec)
			if err := rec.write(cfg.Record); err != nil {
				t.Fatal(err)
			}
			p := begin(t, cfg)
			if !p.Adopted() || p.Record().PID != pid {
				t.Fatalf("adopted %v, pid %d, want %d", p.Adopted(), p.Record().PID, pid)
			}
			kill(t, pid) // an adopted process is watched like our own
			if got := awaitOther(t, p, pid); got.Restarts != 1 {
				t.Errorf("after the adopted process was killed: %+v", got)
			}
		})
	}
}

func awaitOther(t *testing.T, p *Process, old int) Record {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if r := awaitRunning(t, p); r.PID != old {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatal("not restarted")
		}
	}
}

// dieSupervising runs this binary as a supervisor, kills it and returns the
// pid of the process it left behind.
func dieSupervising(t *testing.T, dir string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SUPERVISE_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	var pid int
	var adopted bool
	if _, serr := fmt.Sscan(line, &pid, &adopted); err != nil || serr != nil || adopted {
		t.Fatalf("supervisor said %q: %v, %v", line, err, serr)
	}
	return pid
}

func TestDoesNotAdoptAStranger(t *testing.T) {
	cfg := sleeper(t.TempDir())
	self, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Our own pid, but of a process that started at another time.
	r := Record{Phase: restart.Running, PID: os.Getpid(), Ticks: self.ticks - 1, Boot: bootID()}
	if err := r.write(cfg.Record); err != nil {
		t.Fatal(err)
	}
	if p := begin(t, cfg); p.Adopted() {
		t.Error("adopted a process that only has the same pid")
	}
}

func TestReplacesAnAdoptedProcessWithAnotherKey(t *testing.T) {
	cfg := sleeper(t.TempDir())
	old := begin(t, cfg)
	pid := old.Record().PID
	old.Abandon()
	cfg.Key = "new"
	p := begin(t, cfg)
	if r := awaitOther(t, p, pid); r.Key != "new" {
		t.Errorf("record: %+v", r)
	}
}

func TestLogIsRotated(t *testing.T) {
	cfg := sleeper(t.TempDir())
	cfg.Log, cfg.LogMax = filepath.Join(t.TempDir(), "log"), 100
	cfg.Argv = []string{"/bin/sh", "-c", "printf '%0200d\\n' 1; exec sleep 1000"}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(cfg.Log), unix.IN_CLOSE_WRITE); err != nil {
		t.Fatal(err)
	}
	begin(t, cfg)
	buf := make([]byte, 4096)
	for {
		old, _ := os.ReadFile(cfg.Log + ".1")
		now, _ := os.Stat(cfg.Log)
		if len(old) == 201 && now.Size() == 0 {
			return
		}
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n == 0 {
			t.Fatalf("not rotated after 5 s: old %d bytes, new %d", len(old), now.Size())
		}
		_, _ = unix.Read(fd, buf)
	}
}
