package scheduling

import (
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler"
	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// run is Skiff's core at work on a case.
type run struct {
	core *scheduler.Core
	snap *snapshot.Snapshot
	rnd  *rand.Rand
}

// Measure places the pods of a case, and returns how many it places in a second.
func (c *Case) Measure(nodes int) (float64, error) {
	p := scheduler.DefaultProfile()
	r := &run{core: scheduler.NewCore(p.Filters, p.Scores), snap: snapshot.New(), rnd: rand.New(rand.NewPCG(1, 1))}
	for i := range nodes {
		r.snap.SetNode(c.Node(i))
	}
	for i := range c.Inits(nodes) {
		if c.Preempts {
			r.snap.Assume(snapshot.NewPod(c.Init(i)), fmt.Sprintf("node-%d", i%nodes))
		} else if err := r.place(snapshot.NewPod(c.Init(i)), false); err != nil {
			return 0, err
		}
	}
	objects := c.objects(nodes)
	began := time.Now()
	for i, object := range objects {
		if c.Waiting > 0 && i%c.Waiting == 0 {
			hopeless := snapshot.NewPod(Hopeless(i))
			d := r.core.Schedule(r.snap, hopeless, r.rnd)
			if r.core.Preempt(r.snap, hopeless, &d, r.rnd); d.Node != "" || d.Message() == "" {
				return 0, fmt.Errorf("%s: the hopeless pod is placed", c.Name)
			}
		}
		if err := r.place(snapshot.NewPod(object), c.Preempts); err != nil {
			return 0, err
		}
	}
	return float64(len(objects)) / time.Since(began).Seconds(), nil
}

// objects makes the pods of the case.
func (c *Case) objects(nodes int) (pods []*corev1.Pod) {
	for i := range c.Pods(nodes) {
		pods = append(pods, c.Pod(i))
	}
	return pods
}

func (r *run) place(p *snapshot.Pod, preempt bool) error {
	d := r.core.Schedule(r.snap, p, r.rnd)
	if d.Node == "" && preempt {
		if r.core.Preempt(r.snap, p, &d, r.rnd); d.Preemption.Node == "" {
			return fmt.Errorf("place %s: %s", p.Key, d.Message())
		}
		for _, v := range d.Preemption.Victims {
			r.snap.RemovePod(v.Key)
		}
		d = r.core.Schedule(r.snap, p, r.rnd)
	}
	if d.Node == "" {
		return fmt.Errorf("place %s: %s", p.Key, d.Message())
	}
	r.snap.Assume(p, d.Node)
	return nil
}
