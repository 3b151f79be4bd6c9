package main

import (
	"fmt"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
)

const (
	denseNodes = 5000
	densePods  = 150000
	// denseTurns is in how many parts the pods come. Between them the nodes tell
	// that they are alive, which they have to within 40 seconds.
	denseTurns = 15
)

// densityRow fills the largest cluster that upstream promises to hold, and
// measures the memory of the whole process: API server, store, controllers and
// scheduler. It takes minutes.
func densityRow(b *bench) []line {
	idle := line{measure: "150,000 pods on 5,000 nodes, RSS", unit: bytesOf, goal: 2 << 30}
	peak := line{measure: "peak", unit: bytesOf, goal: 2 << 30, fine: true}
	rate := line{measure: "pods created and bound", unit: perSecond, fine: true}
	cpu := line{measure: "server processor, each", unit: seconds, fine: true}
	b.limitSchedule(&rate, &cpu)
	t, err := b.startSkiff()
	if err == nil {
		defer t.stop()
		err = b.fillDensely(t, &rate, &cpu)
	}
	if err == nil {
		time.Sleep(time.Second) // to become idle
		idle.skiff, _, err = process.Memory(t.pids...)
	}
	if err == nil {
		idle.note = fmt.Sprintf("%.1f KiB a pod", idle.skiff/float64(b.count(densePods))/1024)
		peak.skiff, err = process.Peak(t.pids...)
	}
	if err != nil {
		idle.why = t.why(err)
		return []line{idle}
	}
	return []line{idle, peak, rate, cpu}
}

func (b *bench) fillDensely(t *target, rate, cpu *line) error {
	const name = "density"
	nodes, each := b.count(denseNodes), b.count(densePods)/denseTurns
	if err := t.makeNodes(nodes); err != nil {
		return err
	}
	for turn := range denseTurns {
		namespace := fmt.Sprintf("%s-%d", name, turn)
		if err := t.podNamespace(namespace); err != nil {
			return err
		}
		f, err := t.placePods(namespace, each)
		if err != nil {
			return fmt.Errorf("after %d pods: %w", turn*each, err)
		}
		rate.skiff += 1 / f.rate / denseTurns
		cpu.skiff += f.cpu.Seconds() / denseTurns
		if err := t.beat(nodes); err != nil {
			return err
		}
	}
	rate.skiff = 1 / rate.skiff
	return nil
}

// beat lets each node tell that it is alive.
func (t *target) beat(nodes int) error {
	status := readyStatus()
	_, err := load{on: t, setup: true, clients: manyClients, ops: nodes, do: func(c *conn, _, i int) (int, error) {
		return c.do(request{method: "PATCH", path: fmt.Sprintf("/api/v1/nodes/node-%08d/status", i), media: mediaMergePatch, body: status})
	}}.run()
	return err
}
