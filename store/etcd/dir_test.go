package etcd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/etcd"
)

// filled returns a data directory that a member has used and closed.
func filled(t *testing.T) (dir string, cluster uint64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "skiff-store")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What etcd leaves running after a damaged log may still make a file.
		for try := 0; os.RemoveAll(dir) != nil; try++ {
			if try == 1000 {
				t.Errorf("%s is left behind", dir)
				return
			}
		}
	})
	s, err := etcd.Embed(etcd.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := s.Write(t.Context(), store.Write{Key: "/a", Value: make([]byte, 2000), If: store.IfAny}); err != nil {
			t.Fatal(err)
		}
	}
	cluster = s.ClusterID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, cluster
}

// refuses checks that the directory gives a typed error that names it.
func refuses[E error](t *testing.T, c etcd.Config) E {
	t.Helper()
	began := time.Now()
	s, err := etcd.Embed(c)
	if err == nil {
		s.Close()
		t.Fatal("the store opened")
	}
	var typed E
	if !errors.As(err, &typed) {
		t.Fatalf("error is %T %v, want %T", err, err, typed)
	}
	if !strings.Contains(err.Error(), c.Dir) {
		t.Errorf("error %q does not name the directory", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("refused only after %s", took)
	}
	t.Log(err)
	return typed
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	_, lines := helper(t, "hold", dir)
	if !lines.Scan() || lines.Text() != "holding <nil>" {
		t.Fatalf("helper says %q", lines.Text())
	}
	refuses[*etcd.LockedError](t, etcd.Config{Dir: dir})
	// Another etcd does not know our lock file, but it locks its database.
	if err := os.Remove(filepath.Join(dir, "skiff.lock")); err != nil {
		t.Fatal(err)
	}
	refuses[*etcd.LockedError](t, etcd.Config{Dir: dir})
}

func TestForeign(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "holiday.jpg"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses[*etcd.ForeignError](t, etcd.Config{Dir: dir})

	dir, cluster := filled(t)
	refuses[*etcd.ForeignError](t, etcd.Config{Dir: dir, ClusterID: cluster + 1})
	embedded(t, etcd.Config{Dir: dir, ClusterID: cluster})
}

// TestCorrupt damages a directory in several ways; none may panic, hang or
// end the process.
func TestCorrupt(t *testing.T) {
	overwrite := func(offset int64, n int) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(strings.Repeat("rubbish!", n/8)), offset); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(t *testing.T, path string) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	truncate := func(size int64) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		file   string
		damage func(t *testing.T, path string)
	}{
		"database is rubbish":      {"member/snap/db", overwrite(0, 16384)},
		"database inner pages":     {"member/snap/db", overwrite(8192, 40960)},
		"database cut short":       {"member/snap/db", truncate(12288)},
		"database empty":           {"member/snap/db", truncate(0)},
		"database missing":         {"member/snap/db", remove},
		"log missing":              {"member/wal", remove},
		"log is rubbish":           {"member/wal/0000000000000000-0000000000000000.wal", overwrite(0, 65536)},
		"log is rubbish in middle": {"member/wal/0000000000000000-0000000000000000.wal", overwrite(40000, 800)},
		"log empty":                {"member/wal/0000000000000000-0000000000000000.wal", truncate(0)},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := filled(t)
			test.damage(t, filepath.Join(dir, test.file))
			refuses[*etcd.CorruptError](t, etcd.Config{Dir: dir})
		})
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []etcd.Config{{}, {Dir: "/x", QuotaBytes: -1}} {
		if _, err := etcd.Embed(c); err == nil || !strings.Contains(err.Error(), ": ") {
			t.Errorf("config %+v: error is %v", c, err)
		}
	}
	if _, err := etcd.Connect(t.Context(), etcd.Remote{}); err == nil {
		t.Error("connected to nothing")
	}
	remote := etcd.Remote{Endpoints: []string{"http://127.0.0.1:1"}, DialTimeout: 200 * time.Millisecond}
	if _, err := etcd.Connect(t.Context(), remote); err == nil {
		t.Error("connected to a closed port")
	}
}

// TestFirstStartKilled opens what a kill during the very first start leaves.
func TestFirstStartKilled(t *testing.T) {
	for _, left := range []string{"member/wal.tmp/", "member/snap/db"} {
		dir := t.TempDir()
		path := filepath.Join(dir, left)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(left, "/") {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		embedded(t, etcd.Config{Dir: dir})
	}
}
