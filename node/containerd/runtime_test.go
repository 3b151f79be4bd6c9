package containerd

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bin builds the pinned runtime (a no-op when it is there) and returns its directory.
func bin(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(root, "runtime/build.sh")).CombinedOutput(); err != nil {
		t.Fatalf("build the runtime: %v\n%s", err, out)
	}
	return filepath.Join(root, "bin/runtime")
}

func testConfig(t testing.TB) Config {
	// Sockets need a shorter path than t.TempDir's.
	dir, err := os.MkdirTemp("", "skrt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return Config{
		Root: dir + "/root", State: dir + "/run", Bin: bin(t), Log: dir + "/log",
		CNIBin: dir + "/cni", CNIConf: dir + "/net.d", PauseImage: "skiff.local/pause:1",
	}
}

func start(t testing.TB, cfg Config) *Runtime {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := Start(ctx, cfg, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		log, _ := os.ReadFile(cfg.Log)
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestStartAdoptRestart(t *testing.T) {
	cfg := testConfig(t)
	began := time.Now()
	first := start(t, cfg)
	t.Logf("exec to CRI ready: %v", time.Since(began))
	pid := first.Process().PID

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	second := start(t, cfg)
	t.Logf("adoption to CRI ready: %v", time.Since(began))
	if !second.Adopted() || second.Process().PID != pid {
		t.Fatalf("containerd %d was not adopted: %+v", pid, second.Process())
	}

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = unix.Kill(pid, unix.SIGKILL)
	began = time.Now()
	for second.Process().PID == pid || second.Process().PID == 0 {
		if err := second.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("kill -9 to CRI answering again: %v", time.Since(began))
	if p := second.Process(); p.Restarts != 1 {
		t.Errorf("not restarted: %+v", p)
	}
}

func BenchmarkStart(b *testing.B) {
	cfg := testConfig(b)
	for b.Loop() {
		r, err := Start(b.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := r.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
