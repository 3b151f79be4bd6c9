package podlog

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const sample = `2026-01-01T00:00:01.000000001Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03Z stdout P thr
2026-01-01T00:00:03Z stdout F ee
not a line of the format
2026-01-01T00:00:04Z stdout F four
`

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"all", Options{Tail: -1}, "one\ntwo\nthree\nfour\n"},
		{"no lines", Options{Tail: 0}, ""},
		{"last", Options{Tail: 1}, "four\n"},
		{"more than there are", Options{Tail: 100}, "one\ntwo\nthree\nfour\n"},
		{"since", Options{Tail: -1, Since: at("2026-01-01T00:00:03Z")}, "three\nfour\n"},
		{"stderr", Options{Tail: -1, Stream: "stderr"}, "two\n"},
		{"bytes", Options{Tail: -1, Limit: 6}, "one\ntw"},
		{"times", Options{Tail: 1, Timestamps: true}, "2026-01-01T00:00:04Z four\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Read(t.Context(), file(t, sample), tc.o, &out, func() {}, nil); err != nil || out.String() != tc.want {
				t.Errorf("%q %v, want %q", out.String(), err, tc.want)
			}
		})
	}
}

func TestLongLinesAndTails(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "2026-01-01T00:00:00Z stdout F %d %s\n", i, strings.Repeat("x", i%97))
	}
	long := strings.Repeat("y", 100_000)
	b.WriteString("2026-01-01T00:00:00Z stdout F " + long + "\n")
	path := file(t, b.String())
	var all bytes.Buffer
	if err := Read(t.Context(), path, Options{Tail: -1}, &all, func() {}, nil); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(all.String(), "\n"), "\n")
	if len(lines) != 3001 || lines[3000] != long {
		t.Fatalf("%d lines", len(lines))
	}
	for _, n := range []int64{1, 2, 57, 2999, 3001} {
		var out bytes.Buffer
		if err := Read(t.Context(), path, Options{Tail: n}, &out, func() {}, nil); err != nil {
			t.Fatal(err)
		}
		if want := strings.Join(lines[3001-n:], "") + "\n"; out.String() != want {
			t.Errorf("the last %d lines are %d bytes, want %d", n, out.Len(), len(want))
		}
	}
}

// sink tells when lines come.
type sink struct {
	mu    sync.Mutex
	text  strings.Builder
	lines chan string
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if strings.HasSuffix(string(p), "\n") {
		s.lines <- s.text.String()
		s.text.Reset()
	}
	return len(p), nil
}

func (s *sink) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-s.lines:
		if got != want+"\n" {
			t.Fatalf("line %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no line; want %q", want)
	}
}

func TestFollow(t *testing.T) {
	path := file(t, "2026-01-01T00:00:00Z stdout F first\n")
	log, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(text string) {
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	out := &sink{lines: make(chan string, 10)}
	ended, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Read(context.Background(), path, Options{Follow: true, Tail: -1}, out, func() {}, ended)
	}()
	out.expect(t, "first")
	add("2026-01-01T00:00:00Z stdout F sec")
	add("ond\n")
	out.expect(t, "second")
	// The log goes on in another file.
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	add("2026-01-01T00:00:00Z stdout F last of the old\n")
	out.expect(t, "last of the old")
	if err := os.WriteFile(path, []byte("2026-01-01T00:00:00Z stdout F new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out.expect(t, "new")
	if log, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	add("2026-01-01T00:00:00Z stdout F end\n")
	close(ended)
	out.expect(t, "end")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample, int64(2), int64(5), true)
	f.Fuzz(func(t *testing.T, text string, tail, limit int64, times bool) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Read(t.Context(), path, Options{Tail: tail, Limit: limit, Timestamps: times}, &out, func() {}, nil); err != nil {
			t.Error(err)
		}
		if limit > 0 && int64(out.Len()) > limit {
			t.Errorf("%d bytes, the limit is %d", out.Len(), limit)
		}
	})
}
