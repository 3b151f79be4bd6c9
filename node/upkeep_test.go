package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/node/cri"
)

// reopener is a runtime that only opens logs anew.
type reopener struct {
	runtimeapi.RuntimeServiceClient
	path string
	fail bool
}

// ReopenContainerLog implements runtimeapi.RuntimeServiceClient.
func (r *reopener) ReopenContainerLog(context.Context, *runtimeapi.ReopenContainerLogRequest, ...grpc.CallOption) (*runtimeapi.ReopenContainerLogResponse, error) {
	if r.fail {
		return nil, errors.New("no")
	}
	return &runtimeapi.ReopenContainerLogResponse{}, os.WriteFile(r.path, nil, 0o600)
}

func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	runtime := &reopener{path: path}
	a := &Agent{runtime: cri.Client{Runtime: runtime}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rotate := func(size int64) error {
		now = now.Add(time.Minute)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		return a.rotate(t.Context(), "id", path, now)
	}
	names := func() []string {
		all, err := filepath.Glob(path + "*")
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			all[i] = filepath.Base(all[i])
		}
		return all
	}
	if err := rotate(maxLog - 1); err != nil || len(names()) != 1 {
		t.Errorf("a log that is not full: %v %v", err, names())
	}
	runtime.fail = true
	if err := rotate(maxLog); err == nil || !slices.Equal(names(), []string{"0.log"}) {
		t.Errorf("a runtime that opens no log: %v %v", err, names())
	}
	runtime.fail = false
	for range 7 {
		if err := rotate(maxLog); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"0.log", "0.log.20260101-000600", "0.log.20260101-000700", "0.log.20260101-000800", "0.log.20260101-000900"}
	if !slices.Equal(names(), want) {
		t.Errorf("%v, want %v", names(), want)
	}
}
