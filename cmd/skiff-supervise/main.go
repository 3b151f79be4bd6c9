// Command skiff-supervise keeps a program running: it starts it in a session
// of its own, starts it again when it dies, and ends it when it is itself told
// to end. It is a program apart, small and without dependencies, so that
// something is left to start skiff again when skiff is killed.
//
//	skiff-supervise --pidfile FILE --log FILE [--detach] -- COMMAND [ARGUMENT...]
//
// FILE.state holds the child's pid, the number of restarts and how it last
// ended, as JSON. When skiff-supervise itself is killed its child goes on, and
// the next skiff-supervise with the same pidfile takes the child over.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/skiff-sh/skiff/supervise"
	"github.com/skiff-sh/skiff/supervise/restart"
)

type options struct {
	pidfile, log string
	logMax       int64
	grace        time.Duration
	detach       bool
	argv         []string
}

func main() {
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "skiff-supervise:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("skiff-supervise", flag.ContinueOnError)
	fs.StringVar(&o.pidfile, "pidfile", "", "file for our own pid; locked while we run")
	fs.StringVar(&o.log, "log", "", "file for the program's output and our notes")
	fs.Int64Var(&o.logMax, "log-max", 10<<20, "bytes at which the log is moved to FILE.1")
	fs.DurationVar(&o.grace, "grace", 30*time.Second, "time from SIGTERM to SIGKILL when stopping")
	fs.BoolVar(&o.detach, "detach", false, "go to the background once the program runs")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.argv = fs.Args()
	switch {
	case o.pidfile == "":
		return o, errors.New("--pidfile is empty: name a file that we may write")
	case o.log == "":
		return o, errors.New("--log is empty: name a file that we may write")
	case len(o.argv) == 0:
		return o, errors.New("no command: put it after --")
	case !strings.HasPrefix(o.argv[0], "/"):
		return o, fmt.Errorf("command %q: give its full path", o.argv[0])
	}
	return o, nil
}

func run(o options) error {
	if o.detach {
		return detach(o)
	}
	ready := readiness()
	pidfile, err := claim(o.pidfile)
	if err != nil {
		return err
	}
	defer pidfile.Close()
	notes, err := os.OpenFile(o.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP)
	child, err := supervise.Start(supervise.Config{
		Argv: o.argv, Record: o.pidfile + ".state",
		Log: o.log, LogMax: o.logMax,
		Policy: restart.Policy{Grace: o.grace},
		Logger: slog.New(slog.NewTextHandler(notes, nil)).With("by", "skiff-supervise"),
	})
	if err != nil {
		return err
	}
	ready()
	<-signals
	err = child.Stop(context.Background())
	os.Remove(o.pidfile)
	return err
}

// claim writes our pid into the file and holds a lock on it until we end, so
// that two of us never supervise the same program.
func claim(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open pidfile: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := make([]byte, 20)
		n, _ := f.Read(pid)
		f.Close()
		return nil, fmt.Errorf("pidfile %s is in use: skiff-supervise already runs as pid %s; stop it first", file, strings.TrimSpace(string(pid[:n])))
	}
	if err := f.Truncate(0); err != nil {
		return nil, fmt.Errorf("write pidfile: %w", err)
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		return nil, fmt.Errorf("write pidfile: %w", err)
	}
	return f, nil
}

// readyEnv names the file descriptor through which a detached copy tells its
// parent that the program runs.
const readyEnv = "SKIFF_SUPERVISE_READY=3"

// detach runs this command again in a session of its own and returns when that
// copy is ready, or with what it had to say.
func detach(o options) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	errs, err := os.CreateTemp("", "skiff-supervise")
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	os.Remove(errs.Name())
	args := append([]string{os.Args[0], "--pidfile", o.pidfile, "--log", o.log,
		"--log-max", strconv.FormatInt(o.logMax, 10), "--grace", o.grace.String(), "--"}, o.argv...)
	_, err = os.StartProcess("/proc/self/exe", args, &os.ProcAttr{
		Env:   append(os.Environ(), readyEnv),
		Files: []*os.File{null, null, errs, w},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	w.Close()
	if n, _ := r.Read(make([]byte, 1)); n == 1 {
		return nil
	}
	said := make([]byte, 4096)
	n, _ := errs.ReadAt(said, 0)
	return errors.New(strings.TrimSpace(strings.TrimPrefix(string(said[:n]), "skiff-supervise: ")))
}

// readiness returns what tells a waiting parent that the program runs. It takes
// the message's address out of the environment that the program inherits.
func readiness() func() {
	name, value, _ := strings.Cut(readyEnv, "=")
	if os.Getenv(name) != value {
		return func() {}
	}
	os.Unsetenv(name)
	syscall.CloseOnExec(3)
	return func() {
		w := os.NewFile(3, "ready")
		_, _ = w.Write([]byte("\n"))
		w.Close()
	}
}
