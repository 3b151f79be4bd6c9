package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A server that stops answers all that it has taken in: none of many writers
// gets half an answer, and a watch ends as one that is complete.
func TestStopFinishesRequests(t *testing.T) {
	config := DefaultConfig("stops")
	config.DataDir, config.Listen, config.Node = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", false
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	ready := make(chan string, 1)
	log := slog.New(slog.NewTextHandler(readiness{ready}, nil))
	go func() { ended <- RunAPI(ctx, config, log) }()
	var address string
	select {
	case address = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	restConfig, err := clientcmd.BuildConfigFromFlags("", config.Paths().Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	restConfig.Host = "https://" + address
	client, err := rest.HTTPClientFor(restConfig)
	if err != nil {
		t.Fatal(err)
	}
	watch, err := client.Get(restConfig.Host + "/api/v1/configmaps?watch=1")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Body.Close()

	var writers sync.WaitGroup
	var answered atomic.Int64
	for range 8 {
		writers.Go(func() {
			for {
				resp, err := client.Post(restConfig.Host+"/api/v1/namespaces/default/configmaps", "application/json", strings.NewReader(`{"metadata":{"generateName":"a-"}}`))
				if err != nil { // nobody is let in any more
					if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("a write was not answered: %v", err)
					}
					return
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
					t.Errorf("%s, %v", resp.Status, err)
				}
				resp.Body.Close()
				if answered.Add(1) == 100 {
					stop()
				}
			}
		})
	}
	began := time.Now()
	writers.Wait()
	if _, err := io.Copy(io.Discard, watch.Body); err != nil {
		t.Errorf("the watch ended with %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*lastRequests {
		t.Errorf("it took %s", took)
	}
	if _, err := client.Get(restConfig.Host + "/readyz"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
}

// readiness finds the address in the line that says that the server is ready.
type readiness struct{ address chan string }

// Write implements io.Writer.
func (r readiness) Write(line []byte) (int, error) {
	if _, address, ok := strings.Cut(string(line), "address="); ok {
		r.address <- strings.TrimSpace(address)
	}
	return len(line), nil
}
