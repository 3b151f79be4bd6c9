package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The sizes of logs, as upstream's defaults: a log that has grown to maxLog goes
// on in a new file, and the latest maxLogFiles are kept.
const (
	maxLog      = 10 << 20
	maxLogFiles = 5
)

// upkeep keeps logs, images and emptyDir volumes from filling the disk. It runs with the
// heartbeat, and costs one look at each log's size.
func (a *Agent) upkeep(ctx context.Context, now time.Time) {
	logs := map[string]string{} // path by container
	err := a.ask(ctx, func() {
		for _, r := range a.pods {
			for i := range r.seen.Containers {
				if c := &r.seen.Containers[i]; c.State == Running && c.LogPath != "" {
					logs[c.ID] = c.LogPath
				}
			}
		}
	})
	if err != nil {
		return
	}
	a.holdEmptyDirs(ctx)
	for id, path := range logs {
		if err := a.rotate(ctx, id, path, now); err != nil {
			a.log.Warn("a log could not be rotated", "container", id, "err", err)
		}
	}
	f := a.figures()
	if f.DiskTotal == 0 || (f.DiskTotal-f.DiskAvailable)*100 <= f.DiskTotal*uint64(a.config.ImagesHigh) {
		return
	}
	if err := a.sweepImages(ctx, now); err != nil && ctx.Err() == nil {
		a.log.Warn("images that nobody uses could not be removed", "err", err)
	}
}

// rotate moves a log that is full aside, and has the runtime go on in a new one.
func (a *Agent) rotate(ctx context.Context, id, path string, now time.Time) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() < maxLog {
		return nil // a log that is not there is not full
	}
	aside := path + "." + now.UTC().Format("20060102-150405")
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("move log aside: %w", err)
	}
	_, err = a.runtime.Runtime.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: id})
	if err != nil {
		return errors.Join(fmt.Errorf("open a new log: %w", err), os.Rename(aside, path))
	}
	old, err := filepath.Glob(path + ".*")
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	slices.Sort(old) // by time, which is in the name
	for len(old) > maxLogFiles-1 {
		if err := os.Remove(old[0]); err != nil {
			return fmt.Errorf("remove old log: %w", err)
		}
		old = old[1:]
	}
	return nil
}

// imageLeastAge is how long an image is known before it may be removed
// (upstream's imageMinimumGCAge): whoever brought it wants to use it.
const imageLeastAge = 2 * time.Minute

// sweepImages removes images that no pod of the node uses.
func (a *Agent) sweepImages(ctx context.Context, now time.Time) error {
	list, err := a.runtime.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	var errs []error
	for _, image := range a.images.aged(list.Images, now) {
		removed, err := a.removeUnused(ctx, image)
		if err != nil {
			errs = append(errs, fmt.Errorf("remove image %s: %w", image.Id, err))
		} else if removed {
			a.log.Info("an image was removed: the disk is full", "image", strings.Join(image.RepoTags, " "), "id", image.Id)
		}
	}
	return errors.Join(errs...)
}

// removeUnused removes an image unless a pod uses it. A pod that arrives
// meanwhile looks for its images afterwards, since that waits for the lock.
func (a *Agent) removeUnused(ctx context.Context, image *runtimeapi.Image) (bool, error) {
	a.images.removal.Lock()
	defer a.images.removal.Unlock()
	var used []string
	err := a.ask(ctx, func() {
		for _, r := range a.pods {
			for i := range r.seen.Containers {
				used = append(used, r.seen.Containers[i].ImageRef, r.seen.Containers[i].Image)
			}
			for _, c := range everyContainer(r.pod) {
				used = append(used, c.Image) // it may be about to be used
			}
			for _, v := range imageVolumes(r.pod) {
				used = append(used, v.Image.Reference)
			}
		}
	})
	if err != nil || len(Unused([]*runtimeapi.Image{image}, used)) == 0 {
		return false, err
	}
	_, err = a.runtime.Images.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: image.Id}})
	return err == nil, err
}

// images is what the node knows of those that the runtime holds.
type images struct {
	// removal is held while an image is removed, and shared while one is looked
	// for that a container is about to use.
	removal sync.RWMutex
	first   map[string]time.Time // when an image was first seen, by ID; upkeep's own
}

// aged returns the images that have been there for long enough, and forgets
// those that are gone.
func (i *images) aged(list []*runtimeapi.Image, now time.Time) []*runtimeapi.Image {
	first := make(map[string]time.Time, len(list))
	var out []*runtimeapi.Image
	for _, image := range list {
		seen, ok := i.first[image.Id]
		if !ok {
			seen = now
		}
		first[image.Id] = seen
		if now.Sub(seen) >= imageLeastAge {
			out = append(out, image)
		}
	}
	i.first = first
	return out
}

// Unused returns the images that are not pinned and not among the used, which
// are names, digests or IDs.
func Unused(images []*runtimeapi.Image, used []string) []*runtimeapi.Image {
	var out []*runtimeapi.Image
	for _, image := range images {
		names := append(append([]string{image.Id}, image.RepoTags...), image.RepoDigests...)
		if !image.Pinned && !slices.ContainsFunc(names, func(n string) bool { return namedBy(n, used) }) {
			out = append(out, image)
		}
	}
	return out
}

// namedBy reports whether one of the references means name, which is written in
// full.
func namedBy(name string, references []string) bool {
	for _, ref := range references {
		if ref == "" {
			continue
		}
		if ref == name || strings.HasSuffix(name, "/"+ref) || strings.HasSuffix(name, "/"+ref+":latest") {
			return true
		}
	}
	return false
}
