package usage

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/skiff-sh/skiff/view"
)

// parse reads a node's answer, which came in at taken.
func parse(answer []byte, taken time.Time) (sample, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(answer))
	if err != nil {
		return sample{}, fmt.Errorf("read a node's metrics: %w", err)
	}
	p := parsing{map[containerKey]*counter{}}
	p.each(families["node_cpu_usage_seconds_total"], (*counter).setCPU)
	p.each(families["node_memory_working_set_bytes"], (*counter).setMemory)
	p.each(families["container_cpu_usage_seconds_total"], (*counter).setCPU)
	p.each(families["container_memory_working_set_bytes"], (*counter).setMemory)
	p.each(families["container_start_time_seconds"], (*counter).setStarted)
	out := sample{taken: taken, pods: map[view.Key]map[string]counter{}}
	// The node is what has no labels.
	node := p.counters[containerKey{}]
	if node == nil || !node.whole() {
		return sample{}, errors.New("read a node's metrics: they lack the node's own processor time or memory")
	}
	out.node = *node
	broken := map[view.Key]bool{}
	for key, c := range p.counters {
		if key.container == "" {
			continue
		}
		if broken[key.pod] = broken[key.pod] || !c.whole(); broken[key.pod] {
			delete(out.pods, key.pod)
			continue
		}
		if out.pods[key.pod] == nil {
			out.pods[key.pod] = map[string]counter{}
		}
		out.pods[key.pod][key.container] = *c
	}
	return out, nil
}

type containerKey struct {
	pod       view.Key
	container string
}

type parsing struct{ counters map[containerKey]*counter }

// each hands over every value of a family.
func (p parsing) each(family *dto.MetricFamily, set func(*counter, float64, int64)) {
	for _, m := range family.GetMetric() {
		key := containerKey{}
		for _, l := range m.Label {
			switch l.GetName() {
			case "namespace":
				key.pod.Namespace = l.GetValue()
			case "pod":
				key.pod.Name = l.GetValue()
			case "container":
				key.container = l.GetValue()
			}
		}
		c := p.counters[key]
		if c == nil {
			c = &counter{}
			p.counters[key] = c
		}
		set(c, m.GetCounter().GetValue()+m.GetGauge().GetValue()+m.GetUntyped().GetValue(), m.GetTimestampMs())
	}
}

func (c *counter) setCPU(seconds float64, at int64) {
	c.cpu, c.at = time.Duration(seconds*float64(time.Second)), time.UnixMilli(at)
}

func (c *counter) setMemory(bytes float64, _ int64) { c.memory = int64(bytes) }

func (c *counter) setStarted(seconds float64, _ int64) {
	c.started = time.Unix(0, int64(seconds*float64(time.Second)))
}

// whole tells whether both values came, as from a container that has begun and not
// ended meanwhile.
func (c *counter) whole() bool { return !c.at.IsZero() && c.memory > 0 }
