package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/node/cri"
	"github.com/skiff-sh/skiff/node/podlog"
)

// listen hears from the runtime what happens to containers. When the runtime
// comes back after it was away, everything is read anew.
func (a *Agent) listen(ctx context.Context) {
	for {
		err := a.hear(ctx)
		if ctx.Err() != nil {
			return
		}
		a.log.Warn("the runtime's events ended; they are asked for again", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryFirst / 5):
		}
	}
}

// hear reads one stream of events to its end. The stream is opened, which waits
// for the runtime, before the list is read: nothing is missed between the two.
func (a *Agent) hear(ctx context.Context) error {
	stream, err := a.runtime.Runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	asked := time.Now()
	found, err := a.runtime.List(ctx)
	if err != nil {
		return err
	}
	a.post(func() { a.relisted(found, asked) })
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the runtime closed the stream")
		}
		if err != nil {
			return err
		}
		a.post(func() { a.heard(e) })
	}
}

// heard takes in one event. It carries the state of the whole pod.
func (a *Agent) heard(e *runtimeapi.ContainerEventResponse) {
	s := e.PodSandboxStatus
	if s == nil {
		return // the sandbox is gone: whoever removed it knows
	}
	r := a.pods[types.UID(s.Metadata.GetUid())]
	if r == nil {
		return
	}
	a.merge(r, s, e.ContainersStatuses)
	if e.ContainerEventType == runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT {
		r.seen.Forget(e.ContainerId)
	}
	a.step(r, time.Now())
}

// relisted takes in everything that the runtime has; what was seen before asked
// and is not in it is gone.
func (a *Agent) relisted(found []cri.Pod, asked time.Time) {
	now := time.Now()
	present := map[string]bool{}
	for _, p := range found {
		present[p.Sandbox.Id] = true
		for _, c := range p.Containers {
			present[c.Id] = true
		}
		uid := types.UID(p.Sandbox.Metadata.GetUid())
		if a.pods[uid] == nil {
			a.take([]cri.Pod{p}, now)
		}
		a.merge(a.pods[uid], p.Sandbox, p.Containers)
	}
	for _, r := range a.pods {
		for _, s := range append([]Sandbox(nil), r.seen.Sandboxes...) {
			if !present[s.ID] && s.Created.Before(asked) {
				r.seen.Forget(s.ID)
			}
		}
		for _, c := range append([]Container(nil), r.seen.Containers...) {
			if !present[c.ID] && c.Created.Before(asked) {
				r.seen.Forget(c.ID)
			}
		}
		a.step(r, now)
	}
}

// The most that is read as a termination message, as upstream: of its file, and
// of the log where that is the fallback.
const (
	maxMessage      = 4096
	maxMessageLog   = 2048
	maxMessageLines = 80
)

// lastWords returns what a container has to say about its end.
func (a *Agent) lastWords(c *Container) string {
	if c.TerminationFile == "" {
		return ""
	}
	if rel, err := filepath.Rel(a.volumes.Path, c.TerminationFile); err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	text, err := readEnd(c.TerminationFile, maxMessage)
	if err != nil && !os.IsNotExist(err) {
		return "Error on reading termination log " + c.TerminationFile + ": " + err.Error()
	}
	if text != "" || !c.FallbackToLogs || c.ExitCode == 0 || c.LogPath == "" {
		return text
	}
	var log bytes.Buffer
	err = podlog.Read(a.ctx, c.LogPath, podlog.Options{Tail: maxMessageLines}, &log, func() {}, nil)
	if err != nil {
		return "Error on reading termination message from logs: " + err.Error()
	}
	data := log.Bytes()
	return string(data[max(0, len(data)-maxMessageLog):])
}

// readEnd returns the last bytes of a file.
func readEnd(path string, most int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	data := make([]byte, min(info.Size(), most))
	if _, err := f.ReadAt(data, max(0, info.Size()-most)); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(data), nil
}
