package etcd_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/etcd"
)

// Environment of the test binary when it runs itself as a helper process.
const (
	helperMode = "SKIFF_STORE_HELPER" // "write" or "hold"
	helperDir  = "SKIFF_STORE_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(helperMode) {
	case "write":
		writeForever(os.Getenv(helperDir))
	case "hold":
		hold(os.Getenv(helperDir))
	default:
		os.Exit(m.Run())
	}
}

// writeForever writes from several goroutines and prints each key and revision
// once the write is acknowledged, until it is killed.
func writeForever(dir string) {
	s, err := etcd.Embed(etcd.Config{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	first, err := s.Revision(context.Background())
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var print sync.Mutex
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("/k/%d/%d/%d", first, w, i)
				rev, err := s.Write(context.Background(), store.Write{Key: key, Value: []byte(key)})
				print.Lock()
				if err != nil {
					fmt.Println("error", err)
				} else {
					fmt.Println("acknowledged", key, rev)
				}
				print.Unlock()
			}
		})
	}
	group.Wait()
}

func hold(dir string) {
	s, err := etcd.Embed(etcd.Config{Dir: dir})
	fmt.Println("holding", err)
	bufio.NewReader(os.Stdin).ReadString('\n')
	if err == nil {
		s.Close()
	}
}

// helper starts this test binary in a mode; it is killed with the test at the
// latest.
func helper(t *testing.T, mode, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperMode+"="+mode, helperDir+"="+dir)
	cmd.Stderr = t.Output()
	// A parent that dies takes the helper with it: the pipe breaks, or this.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// TestKill kills a writing process several times over and checks that the
// directory opens again with every acknowledged write.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]store.Revision{}
	for round := range 4 {
		cmd, lines := helper(t, "write", dir)
		enough := 200 + 700*round
		for n := 0; lines.Scan(); n++ {
			if n == enough {
				cmd.Process.Signal(syscall.SIGKILL)
			}
			fields := strings.Fields(lines.Text())
			if len(fields) != 3 || fields[0] != "acknowledged" {
				// The kill may cut the last line short.
				if n <= enough {
					t.Fatalf("helper says %q", lines.Text())
				}
				continue
			}
			rev, err := strconv.ParseInt(fields[2], 10, 64)
			if err != nil {
				continue
			}
			acknowledged[fields[1]] = rev
		}
		cmd.Wait()
	}
	s := embedded(t, etcd.Config{Dir: dir})
	page, err := s.List(t.Context(), store.Range{Prefix: "/k/"})
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]store.Entry{}
	for _, e := range page.Entries {
		stored[e.Key] = e
	}
	for key, rev := range acknowledged {
		// A revision number cut short by the kill is a prefix of the true one.
		e, ok := stored[key]
		if !ok || string(e.Value) != key || !strings.HasPrefix(fmt.Sprint(e.ModRevision), fmt.Sprint(rev)) {
			t.Errorf("acknowledged %s at revision %d; stored: %v %+v", key, rev, ok, e)
		}
	}
	t.Logf("%d writes acknowledged, %d stored", len(acknowledged), len(stored))
	if len(acknowledged) < 4*200 {
		t.Errorf("only %d writes acknowledged", len(acknowledged))
	}
}

// TestReopen closes and opens a store: contents, revisions and history stay.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	first, err := etcd.Embed(etcd.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := first.ClusterID()
	var last store.Revision
	for i := range 3 {
		if last, err = first.Write(t.Context(), store.Write{Key: "/a", Value: fmt.Append(nil, i), If: store.IfAny}); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := embedded(t, etcd.Config{Dir: dir, ClusterID: id})
	if rev, err := s.Revision(t.Context()); err != nil || rev != last {
		t.Errorf("revision after reopening is %d, %v; want %d", rev, err, last)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var events []store.Event
	for b, err := range s.Watch(ctx, "/", 1) {
		if err != nil {
			t.Fatal(err)
		}
		if events = append(events, b.Events...); len(events) == 3 {
			break
		}
	}
	if e, _, err := s.Get(t.Context(), "/a"); err != nil || string(e.Value) != "2" || e.CreateRevision != last-2 {
		t.Errorf("after reopening: %+v, %v", e, err)
	}
}
