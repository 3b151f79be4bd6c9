package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/skiff-sh/skiff/bench/process"
)

// pauseImage is what a sandbox runs, and so is there on every node. It does
// nothing: what is measured is the way there.
const pauseImage = "skiff.local/pause:1"

const (
	podsInTurn  = 7
	podsAtOnce  = 30
	podPatience = time.Minute
)

// podsRow is real pods through the API, beside the same pods by calls to the
// container runtime alone.
func podsRow(b *bench) []line {
	lines := []line{
		{measure: "pod create to Ready, one at a time", unit: seconds},
		{measure: "30 pods at once", unit: perSecond},
	}
	fail := func(err error) []line {
		lines[0].why = err
		return lines[:1]
	}
	c, err := b.node()
	if err != nil {
		return fail(err)
	}
	runtime, err := newRuntime(c.socket)
	if err != nil {
		return fail(err)
	}
	defer runtime.conn.Close()
	through, err := newPods(c.target, runtime)
	defer through.close()
	if err != nil {
		return fail(err)
	}
	for _, way := range []struct {
		run   func(n int) (time.Duration, error)
		clean func() error
		set   func(l *line, v float64)
	}{
		{through.run, through.clean, func(l *line, v float64) { l.skiff = v }},
		{runtime.run, runtime.clean, func(l *line, v float64) { l.limit = v }},
	} {
		one, many, err := podFigures(way.run, way.clean)
		if err != nil {
			return fail(err)
		}
		way.set(&lines[0], one.Seconds())
		way.set(&lines[1], podsAtOnce/many.Seconds())
	}
	lines[0].goal, lines[1].goal = 1.25*lines[0].limit, 0.9*lines[1].limit
	lines[0].note = fmt.Sprintf("median of %d; limit: the runtime's calls alone", podsInTurn)
	return lines
}

// podFigures starts pods one at a time, and then many at once. What a run has
// made is removed before the next.
func podFigures(run func(int) (time.Duration, error), clean func() error) (one, many time.Duration, err error) {
	var took []time.Duration
	for range podsInTurn {
		d, err := run(1)
		if err = errors.Join(err, clean()); err != nil {
			return 0, 0, err
		}
		took = append(took, d)
	}
	many, err = run(podsAtOnce)
	slices.Sort(took)
	return took[len(took)/2], many, errors.Join(err, clean())
}

// pods makes pods through the API.
type pods struct {
	t       *target
	runtime *bareRuntime
	conns   []*conn // one for each pod that is made at once
	events  *stream
	made    int
	live    []string
}

const podsNamespace = "pods"

const podsPath = "/api/v1/namespaces/" + podsNamespace + "/pods"

func newPods(t *target, runtime *bareRuntime) (*pods, error) {
	p := &pods{t: t, runtime: runtime}
	if err := t.podNamespace(podsNamespace); err != nil {
		return p, err
	}
	revision, err := t.revision(podsPath)
	if err != nil {
		return p, err
	}
	if p.conns, err = t.dialAll(podsAtOnce); err != nil {
		return p, err
	}
	p.events, err = t.stream(request{method: "GET", path: podsPath + "?watch=1&resourceVersion=" + revision, accept: mediaJSON})
	return p, err
}

func (p *pods) close() {
	for _, c := range p.conns {
		c.close()
	}
	if p.events != nil {
		p.events.conn.close()
	}
}

// run makes n pods at once and returns how long it took until all are Ready.
func (p *pods) run(n int) (time.Duration, error) {
	grace := int64(1) // with 0 the API would forget the pod before the node has ended it
	object := newTemplate(encode(core("Pod"), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: podsNamespace, Name: "pod-" + digits},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers:                    []corev1.Container{{Name: "main", Image: pauseImage, ImagePullPolicy: corev1.PullNever}},
		},
	}))
	waiting, created := map[string]bool{}, make(chan error, n)
	began := time.Now()
	for i := range n {
		name := fmt.Sprintf("pod-%08d", p.made)
		waiting[name], p.live = true, append(p.live, name)
		body := object.number(nil, p.made)
		p.made++
		go func() {
			_, err := p.conns[i].do(request{method: "POST", path: podsPath, media: mediaProtobuf, body: body})
			created <- err
		}()
	}
	err := p.until(waiting, func(kind string, pod *corev1.Pod) bool {
		return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
	took := time.Since(began)
	for range n {
		err = errors.Join(err, <-created)
	}
	return took, err
}

// clean deletes the pods and waits until they are gone, from the runtime too.
func (p *pods) clean() error {
	waiting := map[string]bool{}
	for _, name := range p.live {
		waiting[name] = true
		if _, err := p.t.once(request{method: "DELETE", path: podsPath + "/" + name}); err != nil {
			return err
		}
	}
	p.live = nil
	if err := p.until(waiting, func(kind string, _ *corev1.Pod) bool { return kind == string(watch.Deleted) }); err != nil {
		return err
	}
	return p.runtime.empty()
}

// until reads events until each pod has been seen as wanted.
func (p *pods) until(waiting map[string]bool, wanted func(kind string, pod *corev1.Pod) bool) error {
	if err := p.events.conn.raw.SetReadDeadline(time.Now().Add(podPatience)); err != nil {
		return err
	}
	last := corev1.PodStatus{}
	for len(waiting) > 0 {
		text, err := p.events.in.ReadBytes('\n')
		if err != nil {
			state, _ := json.Marshal(last)
			return fmt.Errorf("wait for %d pods: %w; the last seen says %.400s", len(waiting), err, state)
		}
		var event struct {
			Type   string     `json:"type"`
			Object corev1.Pod `json:"object"`
		}
		if err := json.Unmarshal(text, &event); err != nil {
			return fmt.Errorf("read watch event: %w", err)
		}
		last = event.Object.Status
		if wanted(event.Type, &event.Object) {
			delete(waiting, event.Object.Name)
		}
	}
	return nil
}

// bareRuntime makes pods by calls to the container runtime.
type bareRuntime struct {
	conn *grpc.ClientConn
	cri  cri.RuntimeServiceClient
	made int
	mu   sync.Mutex
	live []string // sandboxes
}

func newRuntime(socket string) (*bareRuntime, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to the container runtime: %w", err)
	}
	return &bareRuntime{conn: conn, cri: cri.NewRuntimeServiceClient(conn)}, nil
}

// run makes n pods at once and returns how long it took until all containers
// are started.
func (r *bareRuntime) run(n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), podPatience)
	defer cancel()
	failures := make([]error, n)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		r.made++
		name := fmt.Sprintf("bench-cri-%d", r.made)
		wg.Go(func() { failures[i] = r.pod(ctx, name) })
	}
	wg.Wait()
	return time.Since(began), errors.Join(failures...)
}

// pod makes a sandbox and a container in it.
func (r *bareRuntime) pod(ctx context.Context, name string) error {
	sandbox := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: podsNamespace, Uid: name},
		Hostname: name, DnsConfig: &cri.DNSConfig{Servers: []string{"127.0.0.1"}},
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: "/skiff-" + clusterName + "/cri"}, // removed with the cluster
	}
	made, err := r.cri.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: sandbox})
	if err != nil {
		return fmt.Errorf("run sandbox: %w", err)
	}
	r.mu.Lock()
	r.live = append(r.live, made.PodSandboxId)
	r.mu.Unlock()
	container, err := r.cri.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: made.PodSandboxId, SandboxConfig: sandbox,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "main"}, Image: &cri.ImageSpec{Image: pauseImage},
			Linux: &cri.LinuxContainerConfig{},
		},
	})
	if err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	if _, err := r.cri.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: container.ContainerId}); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return nil
}

// empty waits until the runtime holds no pod, so that removals do not take time
// from what is measured next.
func (r *bareRuntime) empty() error {
	return process.Poll(podPatience, 20*time.Millisecond, func() error { return nil }, func() error {
		list, err := r.cri.ListPodSandbox(context.Background(), &cri.ListPodSandboxRequest{})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d sandboxes are left", len(list.Items))
		}
		return err
	})
}

// clean removes what was made.
func (r *bareRuntime) clean() error {
	ctx, cancel := context.WithTimeout(context.Background(), podPatience)
	defer cancel()
	failures := make([]error, len(r.live))
	var wg sync.WaitGroup
	for i, id := range r.live {
		wg.Go(func() {
			if _, err := r.cri.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
				failures[i] = fmt.Errorf("stop sandbox: %w", err)
				return
			}
			if _, err := r.cri.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
				failures[i] = fmt.Errorf("remove sandbox: %w", err)
			}
		})
	}
	wg.Wait()
	r.live = nil
	return errors.Join(failures...)
}
