package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The sizes of logs, as upstream's defaults: a log that has grown to maxLog goes
// on in a new file, and the latest maxLogFiles are kept.
const (
	maxLog      = 10 << 20
	maxLogFiles = 5
)

// upkeep keeps logs and images from filling the disk. It runs with the
// heartbeat, and costs one look at each log's size.
func (a *Agent) upkeep(ctx context.Context, now time.Time) {
	logs := map[string]string{} // path by container
	var used []string
	err := a.ask(ctx, func() {
		for _, r := range a.pods {
			for i := range r.seen.Containers {
				c := &r.seen.Containers[i]
				used = append(used, c.ImageRef, c.Image)
				if c.State == Running && c.LogPath != "" {
					logs[c.ID] = c.LogPath
				}
			}
			for _, c := range everyContainer(r.pod) {
				used = append(used, c.Image) // it may be about to be used
			}
		}
	})
	if err != nil {
		return
	}
	for id, path := range logs {
		if err := a.rotate(ctx, id, path, now); err != nil {
			a.log.Warn("a log could not be rotated", "container", id, "err", err)
		}
	}
	if f := a.figures(); f.DiskTotal > 0 && (f.DiskTotal-f.DiskAvailable)*100 > f.DiskTotal*imagesHigh {
		if err := a.sweepImages(ctx, used); err != nil {
			a.log.Warn("images that nobody uses could not be removed", "err", err)
		}
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

// imagesHigh is how full the disk is, in percent, when images that no container
// uses are removed (upstream's imageGCHighThresholdPercent).
const imagesHigh = 85

// sweepImages removes images that no pod of the node uses.
func (a *Agent) sweepImages(ctx context.Context, used []string) error {
	list, err := a.runtime.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	var errs []error
	for _, image := range Unused(list.Images, used) {
		_, err := a.runtime.Images.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: image.Id}})
		if err != nil {
			errs = append(errs, fmt.Errorf("remove image %s: %w", image.Id, err))
			continue
		}
		a.log.Info("an image was removed: the disk is full", "image", strings.Join(image.RepoTags, " "), "id", image.Id)
	}
	return errors.Join(errs...)
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
