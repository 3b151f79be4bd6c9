package node

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// TestStep plays scripts: a pod, and then lines of what happens, each followed by
// what Step makes of it. "go test -run TestStep -update" rewrites the latter.
func TestStep(t *testing.T) {
	scripts(t, "testdata/step", play)
}

// scripts plays each script of a folder: play returns it with what it led to.
func scripts(t *testing.T, folder string, play func(t *testing.T, script string) string) {
	files, err := filepath.Glob(folder + "/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(data))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(data) {
				t.Errorf("the script's effects have changed (look at them with -update):\n%s", difference(string(data), got))
			}
		})
	}
}

func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d:\nwant %s\ngot  %s", i+1, strings.Join(w[i:min(len(w), i+8)], "\n     "), strings.Join(g[i:min(len(g), i+8)], "\n     "))
		}
	}
	return ""
}

// stage is a pod on a runtime that does what it is told.
type stage struct {
	t       *testing.T
	pod     *corev1.Pod
	granted *corev1.Pod
	gone    bool
	seen    Observed
	state   State
	now     time.Time
	renewed time.Time
	busy    map[string]Action
	shown   string
	out     strings.Builder
	boxes   int
	starts  map[string]int
	full    string // why the node has no room, or ""
}

func play(t *testing.T, script string) string {
	head, body, ok := strings.Cut(script, "---\n")
	if !ok {
		t.Fatal("the script has no line of --- after its pod")
	}
	s := &stage{t: t, pod: &corev1.Pod{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), busy: map[string]Action{}, starts: map[string]int{}}
	if err := yaml.UnmarshalStrict([]byte(head), s.pod); err != nil {
		t.Fatal(err)
	}
	s.pod.Name, s.pod.Namespace, s.pod.UID = "p", "ns", "u"
	if s.pod.Spec.RestartPolicy == "" {
		s.pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	}
	s.seen.Probes = map[string]Probed{}
	s.out.WriteString(head + "---\n")
	for line := range strings.Lines(body) {
		switch {
		case strings.HasPrefix(line, ">"):
			s.out.WriteString(line)
			s.happen(strings.Fields(strings.TrimSpace(line[1:])))
		case strings.HasPrefix(line, "#"), line == "\n":
			s.out.WriteString(line)
		}
	}
	return s.out.String()
}

func (s *stage) happen(words []string) {
	switch words[0] {
	case "step":
	case "done":
		for _, key := range words[1:] {
			s.done(s.find(strings.ReplaceAll(key, "/", " ")))
		}
	case "all-done":
		for len(s.busy) > 0 {
			for _, key := range slices.Sorted(keys(s.busy)) {
				s.done(s.busy[key])
			}
			s.step()
		}
		return
	case "fail":
		a := s.find(strings.ReplaceAll(words[1], "/", " "))
		delete(s.busy, a.Key())
		s.state = Finish(s.state, Result{Action: a, Reason: words[2], Message: strings.Join(words[3:], " ")}, s.now)
	case "exit":
		code, err := strconv.Atoi(words[2])
		if err != nil {
			s.t.Fatal(err)
		}
		s.exit(s.seen.Latest(words[1]), int32(code))
	case "sandbox-dies":
		for i := range s.seen.Containers {
			s.exit(&s.seen.Containers[i], 137)
		}
		s.seen.Sandboxes[0].Ready = false
	case "renewed": // the node's lease, of two seconds
		s.renewed = s.now
	case "probe":
		s.probe(s.seen.Latest(words[1]), words[2])
	case "tick":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "clock-set": // the machine's, by so much
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.setClock(d)
	case "delete":
		grace, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		s.pod = s.pod.DeepCopy()
		at := metav1.NewTime(s.now)
		s.pod.DeletionTimestamp, s.pod.DeletionGracePeriodSeconds = &at, &grace
	case "gone":
		s.gone = true
	case "image":
		s.pod = s.pod.DeepCopy()
		containerNamed(s.pod, words[1]).Image = words[2]
	case "resize": // container, then requests and limits as resource=quantity
		s.pod = s.pod.DeepCopy()
		s.pod.Generation++
		s.resize(containerNamed(s.pod, words[1]), words[2:])
	case "full":
		s.full = strings.Join(words[1:], " ")
	case "refuse":
		s.state.Refused = &Refusal{words[1], strings.Join(words[2:], " ")}
	case "evict": // within so many seconds
		grace, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		s.state.Refused, s.state.Grace = &Refusal{evicted, strings.Join(words[2:], " ")}, grace
	case "agent-restarts":
		s.pod = s.pod.DeepCopy()
		s.pod.Status = s.state.Status
		s.state, s.busy = State{}, map[string]Action{}
	case "created-but-not-started":
		a := s.find("start-container " + words[1])
		s.done(a)
		s.seen.Latest(words[1]).State = Created
	default:
		s.t.Fatalf("no such line: %s", words)
	}
	s.step()
}

func (s *stage) resize(c *corev1.Container, words []string) {
	c.Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		to := c.Resources.Requests
		if limit, ok := strings.CutPrefix(name, "limit-"); ok {
			name, to = limit, c.Resources.Limits
		}
		to[corev1.ResourceName(name)] = apiresource.MustParse(value)
	}
}

func (s *stage) limits(container string) *Limits {
	l := limitsOf(s.granted, containerNamed(s.granted, container))
	return &l
}

func (s *stage) fits() *Refusal {
	if s.full == "" {
		return nil
	}
	return &Refusal{"OutOfcpu", s.full}
}

func keys(m map[string]Action) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (s *stage) find(prefix string) Action {
	for _, key := range slices.Sorted(keys(s.busy)) {
		if strings.HasPrefix(key, prefix) {
			return s.busy[key]
		}
	}
	s.t.Fatalf("%q is not under way; these are: %v", prefix, s.busy)
	return Action{}
}

// setClock is what a jump of the machine's clock looks like to the agent: its own
// times go on evenly, and those that the runtime has noted have moved.
func (s *stage) setClock(by time.Duration) {
	for i := range s.seen.Sandboxes {
		box := &s.seen.Sandboxes[i]
		box.Created = box.Created.Add(-by)
	}
	for i := range s.seen.Containers {
		c := &s.seen.Containers[i]
		for _, at := range []*time.Time{&c.Created, &c.Started, &c.Stopped} {
			if !at.IsZero() {
				*at = at.Add(-by)
			}
		}
	}
	for name, memory := range s.state.Containers { // what was reckoned from the runtime's times
		memory.Backoff.Last = memory.Backoff.Last.Add(-by)
		if !memory.HoldUntil.IsZero() {
			memory.HoldUntil = memory.HoldUntil.Add(-by)
		}
		s.state.Containers[name] = memory
	}
}

func (s *stage) exit(c *Container, code int32) {
	if c.State != Running {
		return
	}
	c.State, c.ExitCode, c.Stopped, c.Reason = Exited, code, s.now, "Error"
	if code == 0 {
		c.Reason = "Completed"
	}
}

func (s *stage) probe(c *Container, what string) {
	p := s.seen.Probes[c.ID]
	switch what {
	case "ready":
		p.Ready, p.Started = true, true
	case "unready":
		p.Ready = false
	case "started":
		p.Started = true
	case "liveness", "startup":
		p.Failed = what
	}
	s.seen.Probes[c.ID] = p
}

// done lets an action succeed.
func (s *stage) done(a Action) {
	delete(s.busy, a.Key())
	result := Result{Action: a}
	switch a.Do {
	case EnsureImage:
		result.Image = "sha256:" + a.Container
	case CreateSandbox:
		s.boxes++
		s.seen.MergeSandbox(Sandbox{ID: fmt.Sprintf("box%d", s.boxes), Attempt: uint32(a.Attempt), Ready: true, Created: s.now.Add(time.Duration(s.boxes)), IPs: []string{fmt.Sprintf("10.0.0.%d", s.boxes)}})
	case StartContainer:
		s.starts[a.Container]++
		s.seen.MergeContainer(Container{
			ID: fmt.Sprintf("%s-%d", a.Container, s.starts[a.Container]), Name: a.Container, Sandbox: a.ID, Attempt: a.Attempt, State: Running,
			Created: s.now.Add(time.Duration(s.starts[a.Container])), Started: s.now, Image: containerNamed(s.pod, a.Container).Image,
			Hash: ContainerHash(containerNamed(s.pod, a.Container)), Limits: s.limits(a.Container),
			MemoryRequest: containerNamed(s.granted, a.Container).Resources.Requests.Memory().Value(),
		})
	case SetResources:
		for i := range s.seen.Containers {
			if c := &s.seen.Containers[i]; c.State == Running {
				c.Limits = s.limits(c.Name)
			}
		}
	case StopContainer:
		s.exit(s.seen.container(a.ID), 143)
	case StopSandbox:
		for i := range s.seen.Sandboxes {
			if s.seen.Sandboxes[i].ID == a.ID {
				s.seen.Sandboxes[i].Ready = false
			}
		}
		for i := range s.seen.Containers {
			if c := &s.seen.Containers[i]; c.Sandbox == a.ID {
				s.exit(c, 137)
			}
		}
	case RemoveSandbox, RemoveContainer:
		s.seen.Forget(a.ID)
	}
	s.state = Finish(s.state, result, s.now)
}

// step shows what Step decides.
func (s *stage) step() {
	var d Decision
	s.state, d = Step(Input{Pod: s.pod, Gone: s.gone, Seen: &s.seen, HostIPs: []string{"192.0.2.1"}, Fits: s.fits, Now: s.now, Renewed: s.renewed, Lease: 2 * time.Second}, s.state)
	s.granted = d.Pod
	for _, e := range d.Events {
		kind := "Normal"
		if e.Warning {
			kind = "Warning"
		}
		fmt.Fprintf(&s.out, "  event %s %s %s\n", kind, e.Reason, e.Message)
	}
	for _, a := range d.Actions {
		if s.busy[a.Key()].Do != "" {
			s.t.Errorf("%s is begun while it is under way", a)
		}
		s.busy[a.Key()] = a
		fmt.Fprintf(&s.out, "  do %s\n", a)
	}
	if !d.Wake.IsZero() {
		fmt.Fprintf(&s.out, "  wake in %s\n", d.Wake.Sub(s.now))
	}
	if d.Forget {
		s.out.WriteString("  forget\n")
		return
	}
	if now := show(&d.Status); now != s.shown {
		s.out.WriteString(now)
		s.shown = now
	}
}

func show(st *corev1.PodStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  pod %s", st.Phase)
	if st.PodIP != "" {
		fmt.Fprintf(&b, " %s", st.PodIP)
	}
	if st.Reason != "" {
		fmt.Fprintf(&b, " %s: %s", st.Reason, st.Message)
	}
	for _, c := range st.Conditions {
		if c.Status == corev1.ConditionTrue {
			fmt.Fprintf(&b, " +%s", c.Type)
		} else {
			fmt.Fprintf(&b, " -%s(%s)", c.Type, c.Reason)
		}
	}
	b.WriteString("\n")
	for _, list := range [][]corev1.ContainerStatus{st.InitContainerStatuses, st.ContainerStatuses, st.EphemeralContainerStatuses} {
		for _, c := range list {
			fmt.Fprintf(&b, "    %s %s", c.Name, showState(c.State))
			if c.LastTerminationState.Terminated != nil {
				fmt.Fprintf(&b, ", last %s", showState(c.LastTerminationState))
			}
			if c.RestartCount > 0 {
				fmt.Fprintf(&b, ", restarts %d", c.RestartCount)
			}
			if c.Started != nil && *c.Started {
				b.WriteString(", started")
			}
			if c.Ready {
				b.WriteString(", ready")
			}
			if c.Resources != nil && len(c.Resources.Requests)+len(c.Resources.Limits) > 0 {
				fmt.Fprintf(&b, ", has%s of%s", showResources(*c.Resources), showResources(corev1.ResourceRequirements{Requests: c.AllocatedResources}))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func showResources(r corev1.ResourceRequirements) string {
	out := ""
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q, ok := r.Requests[name]; ok {
			out += fmt.Sprintf(" %s=%s", name, q.String())
		}
		if q, ok := r.Limits[name]; ok {
			out += fmt.Sprintf(" limit-%s=%s", name, q.String())
		}
	}
	return out
}

func showState(s corev1.ContainerState) string {
	switch {
	case s.Running != nil:
		return "running"
	case s.Terminated != nil:
		return fmt.Sprintf("terminated %d %s", s.Terminated.ExitCode, s.Terminated.Reason)
	case s.Waiting != nil && s.Waiting.Message != "":
		return fmt.Sprintf("waiting %s (%s)", s.Waiting.Reason, s.Waiting.Message)
	case s.Waiting != nil:
		return "waiting " + s.Waiting.Reason
	}
	return "nothing"
}
