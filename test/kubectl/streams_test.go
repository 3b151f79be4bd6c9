package kubectl

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// speaksWebSocket checks what kubectl told, at its loudest, of a call: it asked
// for a WebSocket, got it, and tried nothing else.
func speaksWebSocket(t *testing.T, told string) {
	t.Helper()
	has(t, told, "101 Switching Protocols", "Upgrade: websocket")
	for _, elder := range []string{"Upgrade: SPDY/3.1", "fallback"} {
		if strings.Contains(told, elder) {
			t.Errorf("%q in:\n%s", elder, told)
		}
	}
}

// webSockets is what kubectl connects streams with where it can (KEP-4006).
func webSockets(t *testing.T, k user) {
	k.apply(t, webPod)
	k.run(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=50s")
	r := k.do(t, "typed", "exec", "-v=8", "-i", "web", "--", "cat")
	if r.status != 0 || r.out != "typed" {
		t.Errorf("exec over a WebSocket: %+v", r)
	}
	speaksWebSocket(t, r.err)

	r = k.do(t, "", "run", "once", "-v=8", "--image=localhost/busybox:1", "--restart=Never", "--attach", "--", "sh", "-c", "sleep 1; echo ahoy")
	has(t, r.out, "ahoy")
	speaksWebSocket(t, r.err)

	forward := k.start(t, "port-forward", "-v=8", "pod/web", ":8080")
	line := forward.until(t, "Forwarding from 127.0.0.1:")
	has(t, fetch(t, "http://127.0.0.1:"+port(t, line)+"/"), "200 OK", "ahoy")
	speaksWebSocket(t, strings.Join(forward.seen, "\n"))
}

// port finds the local port that kubectl says it listens on.
func port(t *testing.T, line string) string {
	t.Helper()
	found := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("no port in %q", line)
	}
	return found[1]
}

// copyMuch copies more than what any buffer on the way holds.
func copyMuch(t *testing.T, k user) {
	k.startShell(t)
	random := rand.NewChaCha8([32]byte{1})
	cargo := make([]byte, 24<<20)
	if _, err := random.Read(cargo); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cargo"), cargo, 0o644); err != nil {
		t.Fatal(err)
	}
	k.run(t, "cp", filepath.Join(dir, "cargo"), "shell:/tmp/cargo", "-c", "main")
	k.run(t, "cp", "shell:/tmp/cargo", filepath.Join(dir, "back"), "-c", "main")
	back, err := os.ReadFile(filepath.Join(dir, "back"))
	if err != nil || !bytes.Equal(back, cargo) {
		t.Errorf("%d bytes came back of %d, or others (%v)", len(back), len(cargo), err)
	}
}

// resize makes the terminal larger while a shell runs on it.
func resize(t *testing.T, k user) {
	k.startShell(t)
	cmd := k.command(t, "exec", "-it", "shell", "-c", "main", "--", "sh")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 90})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	shown := bufio.NewReader(terminal)
	expect := func(want string) {
		t.Helper()
		var seen strings.Builder
		for !strings.Contains(seen.String(), want) {
			line, err := shown.ReadString('\n')
			seen.WriteString(line)
			if err != nil {
				t.Fatalf("no %q: %v; the terminal showed:\n%s", want, err, seen.String())
			}
		}
	}
	typing := func(text string) {
		t.Helper()
		if _, err := io.WriteString(terminal, text); err != nil {
			t.Fatal(err)
		}
	}
	typing("until [ \"$(stty size)\" = '30 90' ]; do :; done; echo sma''ll\n")
	expect("small")
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 44, Cols: 111}); err != nil {
		t.Fatal(err)
	}
	typing("until [ \"$(stty size)\" = '44 111' ]; do :; done; echo lar''ge; exit\n")
	expect("large")
	_, _ = io.Copy(io.Discard, shown) // ends with EIO when the shell has let go of the terminal
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// debug adds containers to a pod that runs (KEP-277).
func debug(t *testing.T, k user) {
	k.startShell(t)
	k.run(t, "debug", "shell", "--image=localhost/busybox:1", "--target=main", "-c", "looker", "--", "sh", "-c", "ps; echo looked")
	status := "jsonpath={.status.ephemeralContainerStatuses[?(@.name=='%')].state"
	k.run(t, "wait", "pod/shell", "--for="+strings.ReplaceAll(status, "%", "looker")+".terminated.exitCode}=0", "--timeout=50s")
	has(t, k.run(t, "logs", "shell", "-c", "looker"), "echo hello from main", "looked")

	cmd := k.command(t, "debug", "shell", "-i", "-q", "--image=localhost/busybox:1", "-c", "reader", "--", "sh", "-c", "read l; echo got $l")
	in, err := cmd.StdinPipe() // open to the end: it is not of those that close with their first reader
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "typed\n"); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Error(err)
	}
	is(t, string(out), "got typed")

	k.run(t, "debug", "shell", "--image=localhost/busybox:1", "-c", "keeper", "--", "sh", "-c", "echo I stay; exec sleep 3600")
	k.run(t, "wait", "pod/shell", "--for="+strings.ReplaceAll(status, "%", "keeper")+".running}", "--timeout=50s")
	is(t, k.run(t, "exec", "shell", "-c", "keeper", "--", "cat", "/proc/1/comm"), "sleep")
	has(t, k.run(t, "describe", "pod", "shell"), "Ephemeral Containers:", "keeper:", "looker:", "Completed")
	// What has ended is not begun again, and the pod goes on.
	is(t, k.run(t, "get", "pod", "shell", "-o", "jsonpath={.status.ephemeralContainerStatuses[?(@.name=='looker')].restartCount}"), "0")
	is(t, k.run(t, "get", "pod", "shell", "-o", "jsonpath={.status.phase}"), "Running")
	k.fails(t, "may not be removed", "patch", "pod", "shell", "--subresource=ephemeralcontainers", "--type=json",
		"-p", `[{"op":"remove","path":"/spec/ephemeralContainers/0"}]`)
}

// localProxy is "kubectl proxy": the API, and what it proxies to, on a plain
// port of this machine.
func localProxy(t *testing.T, k user) {
	k.apply(t, webPod)
	k.run(t, "wait", "pod/web", "--for=condition=Ready", "--timeout=50s")
	base := "http://127.0.0.1:" + port(t, k.start(t, "proxy", "--port=0").until(t, "Starting to serve"))
	has(t, fetch(t, base+"/api/v1/namespaces/"+k.namespace+"/services/web:http/proxy/"), "200 OK", "ahoy")
	has(t, fetch(t, base+"/api/v1/namespaces/"+k.namespace+"/pods/web"), "200 OK", `"kind":"Pod"`)
	has(t, fetch(t, base+"/readyz"), "200 OK")
	resp, err := http.Post(base+"/api/v1/namespaces/"+k.namespace+"/services/web:http/proxy/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotImplemented { // what httpd of busybox answers: the request reached it
		t.Errorf("a post through both proxies got %s", resp.Status)
	}
}
