package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestStepHoldsItsPromises lets anything happen to pods, in any order, and checks
// after each step what must always be so. In the end every pod can be deleted and
// leaves nothing. A failure names the seed that repeats it.
func TestStepHoldsItsPromises(t *testing.T) {
	for seed := range uint64(400) {
		ok := t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			c := &chaos{stage: newStage(t), rnd: rand.New(rand.NewPCG(seed, 1))}
			c.pod = c.anyPod()
			c.play()
		})
		if !ok {
			return
		}
	}
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, pod: &corev1.Pod{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), busy: map[string]Action{}, starts: map[string]int{}}
	s.seen.Probes = map[string]Probed{}
	return s
}

type chaos struct {
	*stage
	rnd      *rand.Rand
	ended    corev1.PodPhase
	forgot   bool
	restarts int // of the agent
}

func (c *chaos) anyPod() *corev1.Pod {
	pod := podWith()
	policies := []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}
	pod.Spec.RestartPolicy = policies[c.rnd.IntN(3)]
	always := corev1.ContainerRestartPolicyAlways
	for i := range c.rnd.IntN(4) {
		init := corev1.Container{Name: fmt.Sprint("init", i), Image: "a"}
		if c.rnd.IntN(2) == 0 {
			init.RestartPolicy = &always
			if c.rnd.IntN(2) == 0 {
				init.StartupProbe = &corev1.Probe{}
			}
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, init)
	}
	for i := range 1 + c.rnd.IntN(3) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: fmt.Sprint("main", i), Image: "a"})
	}
	if c.rnd.IntN(2) == 0 {
		pod.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.RestartContainer}}
	}
	if c.rnd.IntN(4) == 0 {
		pod.Spec.ActiveDeadlineSeconds = p(int64(100))
	}
	return pod
}

func (c *chaos) play() {
	for range 120 {
		c.anything()
		c.check()
	}
	if c.pod.DeletionTimestamp == nil {
		c.delete()
	}
	for range 200 {
		c.settle()
		c.check()
		if c.forgot {
			return
		}
	}
	c.t.Fatalf("the pod stays: busy %v, seen %+v, state %+v", c.busy, c.seen, c.state)
}

// anything lets one thing happen.
func (c *chaos) anything() {
	n := c.rnd.IntN(100)
	defer func() { c.t.Logf("after %d: busy %v, %+v", n, slices.Sorted(keys(c.busy)), c.show()) }()
	switch {
	case n < 45 && len(c.busy) > 0:
		c.done(c.anyBusy())
	case n < 55 && len(c.busy) > 0:
		c.fails(c.anyBusy())
	case n < 70:
		if running := c.running(); len(running) > 0 {
			c.exit(running[c.rnd.IntN(len(running))], int32(c.rnd.IntN(2)))
		}
	case n < 75:
		if running := c.running(); len(running) > 0 {
			c.probe(running[c.rnd.IntN(len(running))], []string{"ready", "started", "unready", "liveness"}[c.rnd.IntN(4)])
		}
	case n < 77 && len(c.seen.Sandboxes) > 0:
		for _, r := range c.running() {
			c.exit(r, 137)
		}
		c.seen.Sandboxes[0].Ready = false
	case n < 79:
		c.pod = c.pod.DeepCopy()
		c.pod.Status = c.state.Status
		c.state, c.busy = State{}, map[string]Action{}
		c.restarts++
	case n < 80 && c.pod.DeletionTimestamp == nil:
		c.delete()
	case n < 82:
		c.pod = c.pod.DeepCopy()
		c.pod.Spec.Containers[0].Image += "'"
	case n < 84:
		c.full = []string{"", "no room"}[c.rnd.IntN(2)]
		c.pod = c.pod.DeepCopy()
		c.pod.Generation++
		c.resize(&c.pod.Spec.Containers[0], []string{fmt.Sprintf("cpu=%dm", 10+c.rnd.IntN(20))})
	case n < 86: // somebody sets the clock
		c.setClock(time.Duration(2*c.rnd.IntN(2)-1) * time.Hour)
	default:
		c.now = c.now.Add(time.Duration(c.rnd.IntN(20_000)) * time.Millisecond)
	}
	c.step()
}

func (c *chaos) show() string {
	var out string
	for _, s := range c.seen.Sandboxes {
		out += fmt.Sprintf("%s ready=%v ", s.ID, s.Ready)
	}
	for _, r := range c.seen.Containers {
		out += fmt.Sprintf("%s/%s=%v(%d) ", r.Sandbox, r.ID, r.State, r.ExitCode)
	}
	return out
}

// settle lets all that is under way succeed, and time pass.
func (c *chaos) settle() {
	for len(c.busy) > 0 {
		c.done(c.anyBusy())
		c.step()
		if c.forgot {
			return
		}
	}
	if c.state.Deleted {
		c.gone = true
	}
	c.now = c.now.Add(time.Minute)
	c.step()
}

func (c *chaos) delete() {
	c.pod = c.pod.DeepCopy()
	at, grace := metav1.NewTime(c.now), int64(c.rnd.IntN(30))
	c.pod.DeletionTimestamp, c.pod.DeletionGracePeriodSeconds = &at, &grace
}

func (c *chaos) anyBusy() Action {
	all := slices.Sorted(keys(c.busy))
	return c.busy[all[c.rnd.IntN(len(all))]]
}

func (c *chaos) fails(a Action) {
	delete(c.busy, a.Key())
	reason := map[ActionKind]string{EnsureImage: "ErrImagePull", StartContainer: "CreateContainerError"}[a.Do]
	if reason == "" {
		reason = "Failed"
	}
	c.state = Finish(c.state, Result{Action: a, Reason: reason, Message: "by chance"}, c.now)
}

func (c *chaos) running() []*Container {
	var out []*Container
	for i := range c.seen.Containers {
		if c.seen.Containers[i].State == Running {
			out = append(out, &c.seen.Containers[i])
		}
	}
	return out
}

// step decides, and checks each action that is begun.
func (c *chaos) step() {
	var d Decision
	c.state, d = Step(Input{Pod: c.pod, Gone: c.gone, Seen: &c.seen, HostIPs: []string{"192.0.2.1"}, Fits: c.fits, Now: c.now}, c.state)
	c.granted = d.Pod
	for _, a := range d.Actions {
		if _, twice := c.busy[a.Key()]; twice {
			c.t.Fatalf("%s is begun while it is under way", a)
		}
		c.t.Logf("%s begin %s", c.now.Format("15:04:05"), a)
		c.begun(a)
		c.busy[a.Key()] = a
	}
	c.forgot = d.Forget
	if !d.Wake.IsZero() && !d.Wake.After(c.now) {
		c.t.Fatalf("the next step is to be at %s, and it is %s", d.Wake, c.now)
	}
	if before := c.ended; before != "" && d.Status.Phase != before {
		c.t.Fatalf("the phase goes from %s to %s", before, d.Status.Phase)
	}
	if ended(d.Status.Phase) {
		c.ended = d.Status.Phase
		if len(c.running()) > 0 {
			c.t.Fatalf("a pod is %s and its containers run", d.Status.Phase)
		}
	}
}

// begun checks that an action is right in the present state.
func (c *chaos) begun(a Action) {
	switch a.Do {
	case CreateSandbox:
		for _, s := range c.seen.Sandboxes {
			if s.Ready {
				c.t.Fatalf("%s beside the ready sandbox %s", a, s.ID)
			}
		}
	case StartContainer:
		c.started(a)
	case Delete, Clean:
		if len(c.running()) > 0 {
			c.t.Fatalf("%s while containers run", a)
		}
	}
}

func (c *chaos) started(a Action) {
	if c.pod.DeletionTimestamp != nil || c.ended != "" {
		c.t.Fatalf("%s though the pod is ending", a)
	}
	if seen := c.seen.active(a.ID, a.Container); seen != nil && seen.State != Exited {
		c.t.Fatalf("%s beside %s, which is %v", a, seen.ID, seen.State)
	}
	if isInit(c.pod, a.Container) {
		return
	}
	if first := c.seen.active(a.ID, a.Container); first != nil || c.mainRan(a.ID) {
		return // it was initialized before
	}
	for i := range c.pod.Spec.InitContainers {
		init := &c.pod.Spec.InitContainers[i]
		seen := c.seen.active(a.ID, init.Name)
		if seen == nil || !sidecar(init) && (seen.State != Exited || seen.ExitCode != 0) {
			c.t.Fatalf("%s before %s has ended well", a, init.Name)
		}
	}
}

func (c *chaos) mainRan(sandbox string) bool {
	return slices.ContainsFunc(c.seen.Containers, func(run Container) bool {
		return run.Sandbox == sandbox && !isInit(c.pod, run.Name)
	})
}

// check looks at what must always be so.
func (c *chaos) check() {
	ready := 0
	for _, s := range c.seen.Sandboxes {
		if s.Ready {
			ready++
		}
	}
	if ready > 1 && c.restarts == 0 {
		c.t.Fatalf("%d sandboxes are ready", ready)
	}
	names := map[string]int{}
	for _, r := range c.running() {
		if names[r.Name]++; names[r.Name] > 1 && c.restarts == 0 {
			c.t.Fatalf("%s runs twice", r.Name)
		}
	}
}
