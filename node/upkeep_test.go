package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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

// store is a runtime of images, some of which it removed.
type store struct {
	runtimeapi.ImageServiceClient
	images  []*runtimeapi.Image
	removed []string
}

// ListImages implements runtimeapi.ImageServiceClient.
func (s *store) ListImages(context.Context, *runtimeapi.ListImagesRequest, ...grpc.CallOption) (*runtimeapi.ListImagesResponse, error) {
	return &runtimeapi.ListImagesResponse{Images: s.images}, nil
}

// RemoveImage implements runtimeapi.ImageServiceClient.
func (s *store) RemoveImage(_ context.Context, r *runtimeapi.RemoveImageRequest, _ ...grpc.CallOption) (*runtimeapi.RemoveImageResponse, error) {
	s.removed = append(s.removed, r.Image.Image)
	return &runtimeapi.RemoveImageResponse{}, nil
}

func TestSweepImages(t *testing.T) {
	images := &store{images: []*runtimeapi.Image{{Id: "unused"}, {Id: "pinned", Pinned: true}, {Id: "used", RepoTags: []string{"example.com/a:1"}}}}
	a := &Agent{runtime: cri.Client{Images: images}, log: slog.New(slog.DiscardHandler), inbox: make(chan func()), pods: map[types.UID]*record{
		"": {pod: &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "example.com/a:1"}}}}},
	}}
	go func() {
		for {
			select {
			case f := <-a.inbox:
				f()
			case <-t.Context().Done():
				return
			}
		}
	}()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sweep := func(after time.Duration) []string {
		now, images.removed = now.Add(after), nil
		if err := a.sweepImages(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		return images.removed
	}
	if got := sweep(0); got != nil {
		t.Errorf("images that have just come: %v were removed", got)
	}
	if got := sweep(imageLeastAge - 1); got != nil {
		t.Errorf("images that are young: %v were removed", got)
	}
	if got := sweep(1); !slices.Equal(got, []string{"unused"}) {
		t.Errorf("%v were removed, want the unused", got)
	}
	images.images = images.images[1:]
	sweep(0)
	images.images = append(images.images, &runtimeapi.Image{Id: "unused"})
	if got := sweep(time.Hour); got != nil {
		t.Errorf("an image that came again: %v were removed", got)
	}
}
