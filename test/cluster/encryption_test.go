package cluster

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSecretsAreEncrypted: the store's files never show a secret, its key can
// be changed while the cluster runs, and what was encrypted is read back after
// kill -9.
func TestSecretsAreEncrypted(t *testing.T) {
	c := start(t, "e2e-seal", "--no-node", "--listen", "127.0.0.1:0")
	const hidden, shown = "Treasure-under-the-palm", "Palm-with-nothing-under"
	c.kubectl(t, "create", "secret", "generic", "map", "--from-literal=at="+hidden)
	c.kubectl(t, "create", "configmap", "map", "--from-literal=at="+shown)
	if c.stored(t, hidden) || !c.stored(t, shown) {
		t.Error("a secret lies readable in the store's files, or a config map does not")
	}
	type encryption struct {
		Keys      []string
		Encrypted int
		Pending   bool
	}
	ask := func(command string) (e encryption) {
		if err := json.Unmarshal([]byte(c.skiff(t, command, "-o", "json")), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	before := ask("secrets status")
	rotated := ask("secrets rotate-key")
	if len(rotated.Keys) != 1 || rotated.Keys[0] == before.Keys[0] || rotated.Encrypted < 1 {
		t.Errorf("before %+v, rotated %+v", before, rotated)
	}
	if err := syscall.Kill(c.serverPID(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, err := c.client(t).CoreV1().Secrets("default").Get(t.Context(), "map", metav1.GetOptions{})
		return err
	})
	if got := c.kubectl(t, "get", "secret", "map", "-o", "go-template={{.data.at | base64decode}}"); got != hidden {
		t.Errorf("after the change of keys and kill -9 the secret says %q", got)
	}
	if after := ask("secrets status"); after.Pending || len(after.Keys) != 1 || after.Keys[0] != rotated.Keys[0] {
		t.Errorf("after the restart %+v", after)
	}
}

// stored tells whether any file of the store holds the text.
func (c cluster) stored(t *testing.T, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(filepath.Join(c.dir, "etcd"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
