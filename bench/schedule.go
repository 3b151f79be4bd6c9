package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/bench/process"
)

const (
	// schedulePatience is how long a pod may stay unbound before the row gives up.
	schedulePatience = 10 * time.Second
	// namespacePatience is how long a namespace may stay without its service
	// account: thousands of nodes come before, and controllers look at each.
	namespacePatience = 30 * time.Second
)

// schedulePods is how many pods the rows of a whole scheduling create.
const schedulePods = 5000

// scheduleRow creates pods that nodes without machines are to run, and measures
// until all are bound.
func scheduleRow(b *bench) []line {
	return append(b.scheduleOn(1000, 4000, b.peers), b.scheduleOn(5000, 0, false)...) // upstream needs minutes for 5,000 nodes
}

// scheduleOn measures a number of nodes, upstream too where peers says so. A goal
// of 0 is none.
func (b *bench) scheduleOn(nodes int, goal float64, peers bool) []line {
	rate := line{measure: fmt.Sprintf("5,000 pods created and bound, %s nodes", thousands(int64(nodes))), unit: perSecond, goal: goal}
	cpu := line{measure: "server processor, each", unit: seconds, goal: 500e-6, fine: true}
	t, err := b.startSkiff()
	if err != nil {
		rate.why = err
		return []line{rate}
	}
	defer t.stop()
	f, err := b.schedule(t, nodes)
	if err != nil {
		rate.why = t.why(err)
		return []line{rate}
	}
	rate.skiff, cpu.skiff, rate.note = f.rate, f.cpu.Seconds(), f.note
	b.limitSchedule(&rate, &cpu)
	if peers {
		t, err := b.upstream()
		if err == nil {
			f, err = b.schedule(t, nodes)
		}
		if err != nil {
			rate.note = joinNotes(rate.note, "upstream: "+err.Error())
		} else {
			rate.peer, cpu.peer, rate.note = f.rate, f.cpu.Seconds(), joinNotes(rate.note, "upstream: "+f.note)
		}
	}
	return []line{rate, cpu}
}

// limitSchedule is etcd alone with the two writes of each pod: create and bind.
func (b *bench) limitSchedule(rate, cpu *line) {
	const writes = 2
	if err := b.etcdLimits(); err != nil {
		rate.note = joinNotes(rate.note, "limit: "+err.Error())
		return
	}
	rate.limit, cpu.limit = b.limits.txn[manyClients].rate/writes, writes*b.limits.txn[manyClients].cpu.Seconds()
}

func (b *bench) schedule(t *target, nodes int) (figure, error) {
	const name = "schedule"
	if err := t.makeNodes(b.count(nodes)); err != nil {
		return figure{}, err
	}
	if err := t.podNamespace(name); err != nil {
		return figure{}, err
	}
	before, _, err := process.Memory(t.pids...)
	if err != nil {
		return figure{}, err
	}
	f, err := t.placePods(name, b.count(schedulePods))
	if err != nil {
		return figure{}, err
	}
	after, _, err := process.Memory(t.pids...)
	f.note = fmt.Sprintf("resident memory grew by %.1f KiB a pod", (after-before)/float64(b.count(schedulePods))/1024)
	return f, err
}

// placePods creates pods in a namespace and measures until all are bound.
func (t *target) placePods(name string, pods int) (figure, error) {
	path := "/api/v1/namespaces/" + name + "/pods"
	var last time.Time
	began := time.Now()
	used, err := t.spent(func() error {
		object := simulatedPod(name)
		do := create(path, func(int) template { return object })
		creating := make(chan error, 1)
		go func() {
			_, err := load{on: t, setup: true, clients: manyClients, ops: pods, do: do}.run()
			creating <- err
		}()
		err := t.awaitBound(path, pods)
		last = time.Now()
		return errors.Join(<-creating, err)
	})
	if err != nil {
		return figure{}, err
	}
	return figure{rate: float64(pods) / last.Sub(began).Seconds(), cpu: used / time.Duration(pods)}, nil
}

// awaitBound returns when n pods have a node. A pod that gets one begins to
// match, and so is sent as added, once. Where the server ends the watch, as
// upstream's does with slow readers, a new one begins with all that match.
func (t *target) awaitBound(path string, n int) error {
	for {
		bound, err := t.watch(path + "?watch=1&fieldSelector=spec.nodeName%21%3D")
		if err != nil {
			return err
		}
		have, err := bound.added(n)
		bound.conn.close()
		if have == n {
			return nil
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("only %d of %d pods were bound: %w", have, n, err)
		}
	}
}

// added counts events ADDED up to n.
func (s *stream) added(n int) (have int, err error) {
	for have < n {
		if err := s.conn.raw.SetReadDeadline(time.Now().Add(schedulePatience)); err != nil {
			return have, err
		}
		kind, err := s.next()
		if err != nil {
			return have, err
		}
		if kind == "ADDED" {
			have++
		}
	}
	return have, nil
}

// makeNodes makes nodes that look ready. Their status is written by itself,
// since a create may drop it, and their taint of not being ready taken away,
// should nobody else do so.
func (t *target) makeNodes(n int) error {
	node := newTemplate(encode(core("Node"), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "node-" + digits, Labels: map[string]string{"kubernetes.io/hostname": "node-" + digits},
	}}))
	status := readyStatus()
	_, err := load{on: t, setup: true, clients: manyClients, ops: n, do: func(c *conn, _, i int) (int, error) {
		if size, err := c.do(request{method: "POST", path: "/api/v1/nodes", media: mediaProtobuf, body: node.number(nil, i)}); err != nil {
			return size, err
		}
		path := fmt.Sprintf("/api/v1/nodes/node-%08d", i)
		if size, err := c.do(request{method: "PATCH", path: path + "/status", media: mediaMergePatch, body: status}); err != nil {
			return size, err
		}
		return c.do(request{method: "PATCH", path: path, media: mediaMergePatch, body: []byte(`{"spec":{"taints":null}}`)})
	}}.run()
	return err
}

// readyStatus is what a node tells of itself now.
func readyStatus() []byte {
	const status = `{"status":{"capacity":{"cpu":"32","memory":"64Gi","pods":"110"},"allocatable":{"cpu":"32","memory":"64Gi","pods":"110"},` +
		`"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":%q}]}}`
	return fmt.Appendf(nil, status, time.Now().UTC().Format(time.RFC3339))
}

// podNamespace makes a namespace and waits until pods can be created in it.
func (t *target) podNamespace(name string) error {
	if err := makeNamespace(t, name); err != nil {
		return err
	}
	return process.Poll(namespacePatience, 5*time.Millisecond, func() error { return nil }, func() error {
		_, err := t.once(request{method: "GET", path: "/api/v1/namespaces/" + name + "/serviceaccounts/default"})
		return err
	})
}

func simulatedPod(namespace string) template {
	mount, grace := false, int64(0)
	return newTemplate(encode(core("Pod"), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pod-" + digits, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &mount, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "main", Image: "bench.invalid/none:1",
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
				}},
			}},
		},
	}))
}
