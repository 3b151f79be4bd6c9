package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// staticPods is what the loop knows of the pods from files.
type staticPods struct {
	manifests Manifests
	wanted    map[view.Key]*corev1.Pod
	// mirrors are the pods whose show in the API is being changed.
	mirrors map[view.Key]*mirroring
}

type mirroring struct {
	busy  bool
	retry time.Duration
}

// startStatic takes in the pods from files and follows the files. It comes before
// the API's pods: what runs already of these pods is not to be ended.
func (a *Agent) startStatic(ctx context.Context) error {
	dir := a.config.Manifests
	if dir == "" {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("follow %s: %w", dir, err)
	}
	changes := os.NewFile(uintptr(fd), "inotify")
	files, err := watchManifests(fd, dir)
	if err != nil {
		return errors.Join(err, changes.Close())
	}
	a.takeManifests(files)
	stop := context.AfterFunc(ctx, func() { changes.Close() })
	a.work.Go(func() {
		defer stop()
		a.followManifests(ctx, fd, changes)
	})
	return nil
}

// watchManifests has the kernel tell of changes in a folder, which is made if it
// is not there, and returns what is in it.
func watchManifests(fd int, dir string) (map[string][]byte, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder of static pods: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_DELETE|unix.IN_DELETE_SELF); err != nil {
		return nil, fmt.Errorf("follow %s: %w", dir, err)
	}
	return readManifests(dir)
}

func (a *Agent) followManifests(ctx context.Context, fd int, changes *os.File) {
	dir := a.config.Manifests
	buffer := make([]byte, 64<<10)
	for {
		if _, err := changes.Read(buffer); err != nil {
			if ctx.Err() == nil {
				a.log.Error("changes of static pods are no longer seen", "folder", dir, "err", err)
			}
			return
		}
		files, err := readManifests(dir)
		if errors.Is(err, os.ErrNotExist) {
			files, err = watchManifests(fd, dir) // the folder was removed
		}
		if err != nil {
			a.log.Warn("static pods stay as they are", "err", err)
			continue
		}
		a.post(func() { a.takeManifests(files) })
	}
}

// readManifests reads the files of a folder. Hidden ones are those that editors
// and tools still write.
func readManifests(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read static pods: %w", err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue // it may be gone by now
		}
		data, err := os.ReadFile(path)
		switch {
		case err == nil:
			files[path] = data
		case !os.IsNotExist(err):
			return nil, fmt.Errorf("read static pod: %w", err)
		}
	}
	return files, nil
}

// takeManifests makes the node's static pods those of the files.
func (a *Agent) takeManifests(files map[string][]byte) {
	s := &a.static
	var problems []string
	s.manifests, problems = s.manifests.Next(files, a.config.Name)
	for _, problem := range problems {
		a.log.Error("a static pod's file cannot be used", "err", problem)
		a.events.Record(event.Note{About: a.node, Kind: resource.Nodes.Info, Warning: true, Reason: "InvalidStaticPod", Message: problem})
	}
	s.wanted = s.manifests.Pods()
	now := time.Now()
	for _, r := range a.pods {
		if want := s.wanted[view.KeyOf(r.pod)]; isStatic(r.pod) && !r.gone && (want == nil || want.UID != r.uid) {
			r.gone = true
			a.timers.set(r, now)
		}
	}
	for key := range s.wanted {
		a.runStatic(key)
	}
}

// runStatic begins a wanted pod unless another of its name has yet to end.
func (a *Agent) runStatic(key view.Key) {
	pod := a.static.wanted[key]
	if pod == nil {
		return
	}
	for _, r := range a.pods {
		if view.KeyOf(r.pod) == key && (r.uid != pod.UID || r.gone && !r.state.Ending.IsZero()) {
			a.timers.set(r, time.Now())
			return // forget asks again
		}
	}
	r := a.pods[pod.UID]
	if r != nil && !r.gone {
		return
	}
	r = a.record(pod.UID, pod)
	if mirror := a.mirrorAt(key); mirror != nil && mirrors(mirror, pod) {
		pod.Status = *mirror.Status.DeepCopy() // as it was before a restart
		r.writer.observe(mirror)
	}
	r.pod, r.granted, r.gone = pod, r.state.Allocation.of(pod), false
	a.byName[key] = pod.UID
	a.recall(r)
	a.timers.set(r, time.Now())
	a.mirror(key)
}

// mirrorAt returns what shows a static pod in the API, or nil.
func (a *Agent) mirrorAt(key view.Key) *corev1.Pod {
	pod, ok := view.Get(a.client.Cache().View(), resource.Pods, key.Namespace, key.Name)
	if !ok || !isMirror(pod) || pod.Spec.NodeName != a.config.Name {
		return nil
	}
	return pod
}

// mirrored takes in a change of what shows a static pod in the API.
func (a *Agent) mirrored(mirror *corev1.Pod, now time.Time) {
	key := view.KeyOf(mirror)
	if r := a.staticAt(key); r != nil {
		r.writer.base = nil
		if current := a.mirrorAt(key); current != nil && mirrors(current, r.pod) {
			r.writer.observe(current)
		}
		a.step(r, now)
	}
	a.mirror(key)
}

// shownAs reports whether the API shows the pod by another UID: whoever asks for the
// mirror means the static pod.
func (r *record) shownAs(uid types.UID) bool {
	return isStatic(r.pod) && r.writer.base != nil && r.writer.base.UID == uid
}

func (a *Agent) staticAt(key view.Key) *record {
	if r := a.pods[a.byName[key]]; r != nil && isStatic(r.pod) {
		return r
	}
	return nil
}

// mirrorAll looks at how the API shows each static pod.
func (a *Agent) mirrorAll() {
	for key := range a.static.wanted {
		a.mirror(key)
	}
}

// mirror has the API show a static pod, or no longer show it: one change at a time.
func (a *Agent) mirror(key view.Key) {
	if !a.synced {
		return
	}
	m := a.static.mirrors[key]
	if m == nil {
		m = &mirroring{}
		a.static.mirrors[key] = m
	}
	var static *corev1.Pod
	if r := a.staticAt(key); r != nil {
		static = r.pod
	}
	mirror := a.mirrorAt(key)
	action := Mirror(static, mirror)
	if m.busy {
		return
	}
	if action == KeepMirror {
		delete(a.static.mirrors, key)
		return
	}
	m.busy = true
	v := a.client.Cache().View()
	a.work.Go(func() {
		err := a.changeMirror(action, static, mirror, v)
		a.post(func() { a.mirrorChanged(key, m, err) })
	})
}

func (a *Agent) changeMirror(action MirrorAction, static, mirror *corev1.Pod, v *view.View) error {
	if action == DeleteMirror {
		op := client.Delete(resource.Pods, mirror)
		now := int64(0)
		op.Delete.GracePeriodSeconds = &now
		op.Cause = "the node's static pod is another, or is gone"
		_, err := a.client.Do(a.ctx, op)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	node, ok := view.Get(v, resource.Nodes, "", a.config.Name)
	if !ok {
		return errors.New("the Node is not registered yet")
	}
	op := client.Create(resource.Pods, MirrorOf(static, node))
	op.Cause = "the node runs the pod from a file"
	_, err := a.client.Do(a.ctx, op)
	return err
}

// mirrorChanged takes in how a change ended, and looks again.
func (a *Agent) mirrorChanged(key view.Key, m *mirroring, err error) {
	if err == nil {
		m.busy, m.retry = false, 0
		a.mirror(key)
		return
	}
	m.retry = min(max(2*m.retry, 100*time.Millisecond), retryMost)
	a.log.Info("the API does not show a static pod as it is", "pod", key, "err", err)
	time.AfterFunc(m.retry, func() {
		a.post(func() {
			m.busy = false
			a.mirror(key)
		})
	})
}
