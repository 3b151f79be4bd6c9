package main

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
)

const (
	manyObjects = 100000
	manyLists   = 100
	// listTime is how long each form is read: all clients are served long before
	// that, and to read all to the end would take minutes.
	listTime = 8 * time.Second
)

// tableAccept asks for the form that kubectl get shows.
const tableAccept = mediaJSON + ";as=Table;g=meta.k8s.io;v=v1"

// listsRow has many clients list many objects at the same time, and measures
// what that takes of memory: answers must not be made as a whole.
func listsRow(b *bench) []line {
	lines := []line{
		{measure: "100,000 objects listed by 100 clients, peak over idle, protobuf", unit: bytesOf},
		{measure: "JSON", unit: bytesOf, fine: true},
		{measure: "Table", unit: bytesOf, fine: true},
	}
	t, err := b.startSkiff()
	if err == nil {
		defer t.stop()
		err = b.fillSmall(t)
	}
	for i, accept := range []string{mediaProtobuf, mediaJSON, tableAccept} {
		if err == nil {
			lines[i].skiff, err = b.peakOfLists(t, accept)
		}
		if err != nil {
			lines[i].why = t.why(err)
		}
	}
	return lines
}

// fillSmall creates many objects that have little but their metadata.
func (b *bench) fillSmall(t *target) error {
	const name = "many"
	if err := makeNamespace(t, name); err != nil {
		return err
	}
	object := smallConfigMap(name)
	do := create(configMapsPath(name), func(int) template { return object })
	_, err := load{on: t, setup: true, clients: manyClients, ops: b.count(manyObjects), do: do}.run()
	return err
}

// peakOfLists returns by how many bytes the server's resident memory grows at
// most while all clients read the list.
func (b *bench) peakOfLists(t *target, accept string) (float64, error) {
	conns, err := t.dialAll(manyLists)
	defer func() {
		for _, c := range conns {
			c.close()
		}
	}()
	if err != nil {
		return 0, err
	}
	time.Sleep(settle)
	before, _, err := process.Memory(t.pids...)
	if err != nil {
		return 0, err
	}
	if err := process.ResetPeak(t.pids...); err != nil {
		return 0, err
	}
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			errs[i] = c.readFor(request{method: "GET", path: configMapsPath("many"), accept: accept}, b.length(listTime))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	peak, err := process.Peak(t.pids...)
	return max(0, peak-before), err
}

// readFor makes a request and reads the answer for as long as it may take.
func (c *conn) readFor(r request, limit time.Duration) error {
	if err := c.raw.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	_, err := c.do(r)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return nil
	}
	return err
}
