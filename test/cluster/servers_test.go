package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-sh/skiff/store/etcd"
)

// TestServersShareAStore: of two servers on one etcd one leads. When it is killed
// the other acts within a second, and what it had begun is done.
func TestServersShareAStore(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "etcd.sock")
	st, err := etcd.Embed(etcd.Config{Dir: filepath.Join(dir, "etcd"), Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	run := func(name string) (cluster, *exec.Cmd) {
		c := cluster{name: name, dir: filepath.Join(dir, name)}
		cmd := exec.Command(skiff, "server", "--name", name, "--data-dir", c.dir, "--no-node", "--node-name", name,
			"--listen", "127.0.0.1:0", "--etcd-servers", "unix://"+socket)
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		eventually(t, func() error {
			if _, err := os.Stat(c.kubeconfig()); err != nil {
				return err
			}
			_, err := c.client(t).CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
			return err
		})
		return c, cmd
	}
	first, firstProcess := run("one")
	eventually(t, func() error { return leads(t, first.client(t), "one") })
	if err := os.CopyFS(filepath.Join(dir, "two", "pki"), os.DirFS(filepath.Join(first.dir, "pki"))); err != nil {
		t.Fatal(err)
	}
	second, secondProcess := run("two")
	client := second.client(t)
	if err := leads(t, client, "one"); err != nil {
		t.Fatal(err)
	}
	second.kubectl(t, "create", "deployment", "web", "--image=web", "--replicas=3")
	eventually(t, func() error { return pods(t, client, 3) })

	second.kubectl(t, "scale", "deployment", "web", "--replicas=6")
	if err := firstProcess.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	eventually(t, func() error { return leads(t, client, "two") })
	t.Logf("the other leads %s after the kill", time.Since(killed))
	eventually(t, func() error { return pods(t, client, 6) })

	// The first comes back, and takes over at once from one that stops in order.
	third, _ := run("one")
	if err := secondProcess.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	client = third.client(t)
	eventually(t, func() error { return leads(t, client, "one") })
	third.kubectl(t, "scale", "deployment", "web", "--replicas=1")
	eventually(t, func() error { return pods(t, client, 1) })
}

func leads(t *testing.T, client kubernetes.Interface, name string) error {
	lease, err := client.CoordinationV1().Leases("kube-system").Get(t.Context(), "skiff-leader", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if holder := *lease.Spec.HolderIdentity; len(holder) < len(name) || holder[:len(name)] != name {
		return fmt.Errorf("%s leads, want %s", holder, name)
	}
	return nil
}

func pods(t *testing.T, client kubernetes.Interface, want int) error {
	list, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(list.Items) != want {
		return fmt.Errorf("there are %d pods, want %d", len(list.Items), want)
	}
	return nil
}
