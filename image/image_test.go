package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	oci "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	a := []File{{Path: "/bin/x", Mode: 0o755, Data: []byte("x")}, {Path: "etc/y", Mode: fs.ModeSymlink | 0o777, Link: "z"}, {Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}}
	b := []File{a[2], a[1], {Path: "bin/x", Data: []byte("older")}, a[0]}
	la, err := NewLayer(a)
	if err != nil {
		t.Fatal(err)
	}
	lb, err := NewLayer(b)
	if err != nil {
		t.Fatal(err)
	}
	if la.Digest() != lb.Digest() {
		t.Error("the order of files changes the layer")
	}
	if la.Digest() != "sha256:8cae06013bd288993f352ca875ce423ecac76770a7119fb302b5e81a38956df9" {
		t.Errorf("layer has changed: %s", la.Digest())
	}
}

func TestUnpackableFile(t *testing.T) {
	_, err := NewLayer([]File{{Path: "dev/null", Mode: fs.ModeDevice}})
	if err == nil || !strings.Contains(err.Error(), "dev/null") {
		t.Errorf("error: %v", err)
	}
}

func write(t *testing.T, images ...Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteArchive(&b, images...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNames(t *testing.T) {
	layer, err := NewLayer([]File{{Path: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	variant := []Variant{{Arch: "amd64", Config: oci.ImageConfig{Cmd: []string{"/x"}}, Layers: []Layer{layer}}}
	ours := write(t, Image{"localhost/a:1", variant}, Image{"localhost/b:2", variant})
	docker := tarOf(t, "manifest.json", `[{"Config":"c","RepoTags":["web:1","example.org/x/web"],"Layers":[]}]`)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"ours", ours, "localhost/a:1 localhost/b:2"},
		{"gzipped", gzipped(ours), "localhost/a:1 localhost/b:2"},
		{"docker", docker, "docker.io/library/web:1 example.org/x/web:latest"},
		{"only a tag", tarOf(t, "index.json", `{"manifests":[{"digest":"sha256:00","annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`), "from/file:v1"},
		{"nothing", tarOf(t, "index.json", `{"manifests":[{"digest":"sha256:00"}]}`), "from/file@sha256:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := bytes.NewReader(c.data)
			got, err := Names(r, "from/file")
			if err != nil || strings.Join(got, " ") != c.want {
				t.Errorf("got %v, %v, want %s", got, err, c.want)
			}
			if pos, _ := r.Seek(0, io.SeekCurrent); pos != 0 {
				t.Error("not rewound")
			}
		})
	}
}

func TestWhatIsNoArchiveIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"text.tar":  {[]byte(strings.Repeat("hello ", 200)), "not an image archive"},
		"other.tar": {tarOf(t, "readme", "x"), "neither index.json nor manifest.json"},
		"empty.tar": {nil, "neither index.json nor manifest.json"},
		"byid.tar":  {tarOf(t, "manifest.json", `[{"Config":"c"}]`), "docker save NAME:TAG"},
	} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := new(Loader).LoadFile(context.Background(), file, Options{})
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
}

func tarOf(t *testing.T, name, text string) []byte {
	l, err := NewLayer([]File{{Path: name, Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return l.tar
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	w.Close()
	return b.Bytes()
}

func TestPauseProgramIsAnExecutable(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		f, err := elf.NewFile(bytes.NewReader(pauseProgram(arch)))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || f.Type != elf.ET_EXEC || len(f.Progs) != 2 || f.Entry != f.Progs[0].Vaddr+64+2*56 {
			t.Errorf("%s: %+v", arch, f.FileHeader)
		}
	}
}

// pause runs the program as the first process of a process namespace.
func pause(t *testing.T) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(file, pauseProgram(runtime.GOARCH), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func TestPauseEndsOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := pause(t)
		awaitBlocked(t, cmd.Process.Pid)
		_ = cmd.Process.Signal(sig)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// awaitBlocked waits until the program waits for signals: before it has blocked
// them, one is dropped, as for any first process of a namespace.
func awaitBlocked(t *testing.T, pid int) {
	sigtimedwait := strconv.Itoa(unix.SYS_RT_SIGTIMEDWAIT) + " "
	until(t, "waiting for signals", func() bool {
		call, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/syscall")
		return strings.HasPrefix(string(call), sigtimedwait)
	})
}

func TestPauseReaps(t *testing.T) {
	cmd := pause(t)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	ns, err := os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var out []byte
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // ends with the thread: it stays bound to the namespace
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID); err != nil {
			return
		}
		// The shell's children outlive it and become pause's; their end closes the pipe.
		out, err = exec.Command("/bin/sh", "-c", "for i in 1 2 3; do (read x </dev/null; echo $i) & done").Output()
	})
	wg.Wait()
	if err != nil {
		t.Fatalf("run orphans: %v: %s", err, out)
	}
	until(t, "orphans reaped", func() bool {
		left, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children")
		return err == nil && len(left) == 0
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}
