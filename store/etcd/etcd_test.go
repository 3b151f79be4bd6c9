package etcd_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/store/etcd"
	"github.com/skiff-sh/skiff/store/storetest"
)

// embedded starts a member in dir and closes it with the test.
func embedded(t testing.TB, c etcd.Config) *etcd.Store {
	t.Helper()
	c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := etcd.Embed(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestEmbedded(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return embedded(t, etcd.Config{Dir: t.TempDir()})
	})
}

// TestRemote runs the suite through etcd's own protocol, over a unix socket.
func TestRemote(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		dir := t.TempDir()
		socket := filepath.Join(dir, "etcd.sock")
		embedded(t, etcd.Config{Dir: dir, Socket: socket})
		s, err := etcd.Connect(t.Context(), etcd.Remote{Endpoints: []string{"unix://" + socket}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
