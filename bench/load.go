package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// figure is what one measurement found.
type figure struct {
	rate     float64       // operations per second
	p50, p99 time.Duration // of one operation
	cpu      time.Duration // processor time of the server per operation
	size     int           // bytes of an answer's body
	note     string
}

// load is a measurement: clients connections repeat do until the time is over
// or all operations are made.
type load struct {
	on      *target
	setup   bool // only prepares: nobody wants the figure
	clients int
	time    time.Duration // 0 = until ops are made
	ops     int           // 0 = until the time is over
	// do makes operation i, a number that no other call gets, and returns the
	// size of the answer. worker says which connection it is, from 0 on.
	do func(c *conn, worker, i int) (int, error)
}

// worker is what one connection has seen.
type worker struct {
	took []time.Duration
	size int
	err  error
}

func (l load) run() (figure, error) {
	conns, err := l.on.dialAll(l.clients)
	defer func() {
		for _, c := range conns {
			c.close()
		}
	}()
	if err != nil {
		return figure{}, err
	}
	before, err := l.on.cpu()
	if err != nil {
		return figure{}, err
	}
	if !l.setup && l.on.mark != nil {
		l.on.mark()
		defer l.on.mark()
	}
	workers := make([]worker, l.clients)
	began := time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() { workers[i] = l.work(c, i, began) })
	}
	wg.Wait()
	elapsed := time.Since(began)
	after, err := l.on.cpu()
	if err != nil {
		return figure{}, err
	}
	return summary(workers, elapsed, after-before)
}

// dialAll makes n connections. Those made before an error are returned too.
func (e endpoint) dialAll(n int) ([]*conn, error) {
	var conns []*conn
	for range n {
		c, err := e.dial()
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// work is one connection's part. Operation numbers are dealt out in turn.
func (l load) work(c *conn, n int, began time.Time) worker {
	w := worker{took: make([]time.Duration, 0, 1<<14)}
	last := began
	for i := n; (l.ops == 0 || i < l.ops) && (l.time == 0 || last.Sub(began) < l.time); i += l.clients {
		size, err := l.do(c, n, i)
		if err != nil {
			w.err = err
			return w
		}
		now := time.Now()
		w.took = append(w.took, now.Sub(last))
		last, w.size = now, size
	}
	return w
}

// summary puts together what the connections have seen.
func summary(workers []worker, elapsed, cpu time.Duration) (figure, error) {
	var all []time.Duration
	f := figure{}
	for _, w := range workers {
		if w.err != nil {
			return f, w.err
		}
		all = append(all, w.took...)
		f.size = max(f.size, w.size)
	}
	if len(all) == 0 {
		return f, fmt.Errorf("no operation ended within %s", elapsed)
	}
	slices.Sort(all)
	f.rate = float64(len(all)) / elapsed.Seconds()
	f.p50, f.p99 = all[len(all)/2], all[len(all)*99/100]
	f.cpu = cpu / time.Duration(len(all))
	return f, nil
}
