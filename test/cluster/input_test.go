package cluster

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestBadInput gives what users give by mistake. Each answer names what is
// wrong and what to do, on one line if it can, and never shows a stack.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	// on is a command on a data directory that does not exist yet.
	n := 0
	on := func(command string, args ...string) []string {
		n++
		data := filepath.Join(dir, "data"+strconv.Itoa(n))
		return slices.Concat(strings.Fields(command), []string{"--name", "e2e-bad", "--data-dir", data}, args)
	}
	const alone = "server --no-node --listen 127.0.0.1:0"
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()

	for _, c := range []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{"unknown command", nil, []string{"upp"}, []string{`unknown command "upp"`, "up"}},
		{"unknown flag", nil, []string{"up", "--lisen", "x"}, []string{"unknown flag: --lisen", "skiff up --help"}},
		{"argument too many", nil, []string{"up", "now"}, []string{`"now"`, "skiff up"}},
		{"duration", nil, []string{"up", "--timeout", "soon"}, []string{"--timeout", `"soon"`}},
		{"log level", nil, on(alone, "--log-level", "loud"), []string{`--log-level "loud"`, "debug"}},
		{"output", nil, []string{"status", "-o", "xml"}, []string{`--output "xml"`, "json"}},
		{"cluster name", nil, []string{"up", "--name", "My_Cluster"}, []string{`cluster name "My_Cluster"`, "lower-case"}},
		{"unknown cluster's config", nil, []string{"kubeconfig", "--name", "e2e-none"}, []string{`"e2e-none"`, "skiff up"}},
		{"unknown cluster's token", nil, []string{"token", "--name", "e2e-none"}, []string{`e2e-none`, "skiff up"}},
		{"unknown cluster's images", nil, []string{"image", "list", "--name", "e2e-none"}, []string{`e2e-none`, "skiff up"}},
		{"load into unknown cluster", nil, []string{"image", "load", "--name", "e2e-none", skiff}, []string{`e2e-none`, "skiff up"}},
		{"not an address", nil, on(alone, "--listen", "localhost"), []string{`--listen "localhost"`, "0.0.0.0:6443"}},
		{"port too large", nil, on(alone, "--listen", "127.0.0.1:70000"), []string{`127.0.0.1:70000`, "65535"}},
		{"port in use", nil, on(alone, "--listen", busy.Addr().String()), []string{"--listen " + busy.Addr().String(), "in use", "choose another"}},
		{"port in use, in the background", nil, on("up", "--listen", busy.Addr().String()), []string{busy.Addr().String(), "in use"}},
		{"no range", nil, on(alone, "--service-cidr", "10.0.0.1"), []string{`--service-cidr "10.0.0.1"`, "10.100.0.0/16"}},
		{"range too small", nil, on(alone, "--service-cidr", "10.0.0.0/31"), []string{`--service-cidr`, `10.0.0.0/31`}},
		{"stub domain without servers", nil, on(alone, "--dns-stub", "corp.example"), []string{`--dns-stub "corp.example"`, "corp.example=10.0.0.53"}},
		{"stub domain's server by name", nil, on(alone, "--dns-stub", "corp.example=ns1"), []string{"--dns-stub", `"ns1"`, "10.0.0.53"}},
		{"stub domain of the cluster", nil, on(alone, "--dns-stub", "svc.cluster.local=10.0.0.53"), []string{"--dns-stub svc.cluster.local", "another domain"}},
		{"ranges overlap", nil, on("up", "--pod-cidr", "10.96.1.0/24"), []string{"--pod-cidr 10.96.1.0/24", "--service-cidr 10.96.0.0/16"}},
		{"node name", nil, on("up", "--node-name", "Big Node"), []string{`--node-name "Big Node"`, "lowercase"}},
		{"runtime missing", []string{"SKIFF_RUNTIME=" + dir}, on("up"), []string{dir, "make", "SKIFF_RUNTIME"}},
		{"agent without server", nil, []string{"agent", "--data-dir", dir + "/agent"}, []string{"--server"}},
		{"agent with a broken token", nil, []string{"agent", "--data-dir", dir + "/agent", "--server", "https://127.0.0.1:1", "--token", "x"}, []string{"--token"}},
		{"settings missing", nil, []string{"server", "--settings", filepath.Join(dir, "none")}, []string{"--settings " + filepath.Join(dir, "none"), "skiff up"}},
	} {
		t.Run(c.name, func(t *testing.T) { refuses(t, c.env, c.want, append([]string{skiff}, c.args...)...) })
	}
}

// refuses runs a program that must end with an error that says all of want.
func refuses(t *testing.T, env, want []string, args ...string) {
	t.Helper()
	limited := append([]string{"timeout", "30"}, args...)
	out, errout, status := call(t, env, "", limited...)
	const timedOut = 124
	if status == 0 || status == timedOut {
		t.Errorf("exit status %d\n%s%s", status, out, errout)
	}
	for _, w := range want {
		if !strings.Contains(errout, w) {
			t.Errorf("it does not say %q:\n%s", w, errout)
		}
	}
	if strings.Contains(errout, "goroutine ") || strings.Contains(errout, "panic") {
		t.Errorf("it shows a stack:\n%s", errout)
	}
}

// TestNotRoot: "up" says at once that it needs root.
func TestNotRoot(t *testing.T) {
	// The binary's own folder may be closed to others.
	dir, err := os.MkdirTemp("", "skiff-nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "skiff")
	if out, err := exec.Command("cp", skiff, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	refuses(t, []string{"SKIFF_RUNTIME=" + filepath.Join(filepath.Dir(skiff), "runtime")}, []string{"root", "sudo"},
		"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "up", "--name", "e2e-nobody")
	if _, err := os.Stat("/var/lib/skiff/e2e-nobody"); err == nil {
		t.Error("it made a data directory")
	}
}

// TestBadDirectory: a data directory that is not what it should be.
func TestBadDirectory(t *testing.T) {
	// fresh is the directory of a control plane that ran and ended well.
	fresh := func(t *testing.T) cluster {
		c := cluster{name: "e2e-dir", dir: filepath.Join(t.TempDir(), "data")}
		t.Cleanup(func() { c.skiff(t, "down", "--purge") })
		c.skiff(t, "up", "--no-node")
		c.skiff(t, "down")
		return c
	}
	up := func(c cluster) []string {
		return []string{skiff, "up", "--no-node", "--name", c.name, "--data-dir", c.dir}
	}
	database := func(c cluster) string { return filepath.Join(c.dir, "etcd", "member", "snap", "db") }

	t.Run("store cut short", func(t *testing.T) {
		c := fresh(t)
		if err := os.Truncate(database(c), 5000); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, []string{filepath.Join(c.dir, "etcd")}, up(c)...)
	})
	t.Run("store overwritten", func(t *testing.T) {
		c := fresh(t)
		if err := os.WriteFile(database(c), []byte(strings.Repeat("garbage ", 8192)), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, []string{filepath.Join(c.dir, "etcd")}, up(c)...)
	})
	t.Run("certificate overwritten", func(t *testing.T) {
		c := fresh(t)
		all, err := filepath.Glob(filepath.Join(c.dir, "pki", "ca*.crt"))
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		for _, file := range all {
			if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		refuses(t, nil, []string{filepath.Join(c.dir, "pki")}, up(c)...)
	})
	t.Run("settings overwritten", func(t *testing.T) {
		c := fresh(t)
		file := filepath.Join(c.dir, "cluster.json")
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, []string{file, "is not a cluster's settings"}, up(c)...)
		if err := os.WriteFile(file, good, 0o600); err != nil { // for "down"
			t.Fatal(err)
		}
	})
	// Somebody else's directory is neither used nor, above all, purged.
	t.Run("someone else's", func(t *testing.T) {
		c := cluster{name: "e2e-dir", dir: t.TempDir()}
		letter := filepath.Join(c.dir, "letter.txt")
		if err := os.WriteFile(letter, []byte("dear"), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, []string{c.dir, "--data-dir"}, up(c)...)
		call(t, nil, "", skiff, "down", "--purge", "--name", c.name, "--data-dir", c.dir)
		if _, err := os.Stat(letter); err != nil {
			t.Errorf("someone else's file is gone: %v", err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, []string{file, "--data-dir"}, up(cluster{"e2e-dir", file})...)
	})
}

// TestBadFiles gives a running cluster files that are not what they should be.
func TestBadFiles(t *testing.T) {
	c := start(t, "e2e-files")
	file := filepath.Join(t.TempDir(), "notes.tar")
	if err := os.WriteFile(file, []byte("just a line of text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	which := []string{"--name", c.name, "--data-dir", c.dir}
	for name, args := range map[string][]string{
		"text":      {file},
		"missing":   {file + ".none"},
		"directory": {filepath.Dir(file)},
	} {
		t.Run("image archive "+name, func(t *testing.T) {
			refuses(t, nil, []string{args[0]}, append(append([]string{skiff, "image", "load"}, which...), args...)...)
		})
	}
	t.Run("image archive cut short", func(t *testing.T) {
		whole, err := os.ReadFile(filepath.Join(images, "guestbook.tar"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, whole[:len(whole)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, nil, []string{file}, append(append([]string{skiff, "image", "load"}, which...), file)...)
	})
	t.Run("manifest", func(t *testing.T) {
		refuses(t, []string{"KUBECONFIG=" + c.kubeconfig()}, []string{"error"}, skiff, "kubectl", "apply", "-f", skiff)
	})
	t.Run("second server on the directory", func(t *testing.T) {
		refuses(t, nil, []string{c.dir, "in use by another skiff"}, append([]string{skiff, "server", "--no-node"}, which...)...)
	})
}
