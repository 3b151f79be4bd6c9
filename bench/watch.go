package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	watchers    = 100
	watchEvents = 1000
	// watchPatience is how long nothing may arrive before what is missing counts
	// as lost.
	watchPatience = 5 * time.Second
)

// stream is a watch whose events are counted, not decoded.
type stream struct {
	conn *conn
	in   *bufio.Reader
}

// watch begins a watch in protobuf and returns when the server has accepted it.
func (e endpoint) watch(path string) (*stream, error) {
	return e.stream(request{method: "GET", path: path, accept: mediaProtobuf + ";stream=watch"})
}

func (e endpoint) stream(r request) (*stream, error) {
	c, err := e.dial()
	if err != nil {
		return nil, err
	}
	if err := c.send(r); err != nil {
		c.close()
		return nil, err
	}
	h, err := c.readHead()
	if err == nil && h.code != 200 {
		err = c.refusal(r, h)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	body, err := c.body(h)
	if err != nil {
		c.close()
		return nil, err
	}
	return &stream{conn: c, in: bufio.NewReaderSize(body, 64<<10)}, nil
}

// next skips one event and returns its type, such as "ADDED".
func (s *stream) next() (string, error) {
	prefix, err := s.in.Peek(6)
	if err != nil {
		return "", err
	}
	length, name := binary.BigEndian.Uint32(prefix), int(prefix[5]) // the event's first field is its type
	full, err := s.in.Peek(6 + name)
	if err != nil {
		return "", err
	}
	kind := eventType(full[6:])
	_, err = s.in.Discard(4 + int(length))
	return kind, err
}

func eventType(b []byte) string {
	switch string(b) { // without allocating
	case "ADDED":
		return "ADDED"
	case "MODIFIED":
		return "MODIFIED"
	}
	return string(b)
}

// revision is the resource version of an empty list.
func (t *target) revision(path string) (string, error) {
	data, err := t.once(request{method: "GET", path: path + "?limit=1", accept: mediaJSON})
	if err != nil {
		return "", err
	}
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return "", fmt.Errorf("read list: %w", err)
	}
	return list.Metadata.ResourceVersion, nil
}

// fanOut has 100 watchers receive 1,000 creations. The rate is that of events
// received, from the first write to the last event; the processor time of the
// same writes without watchers is taken off.
func fanOut(b *bench, t *target) (figure, error) {
	const alone, watched = "watch-alone", "watch"
	for _, name := range []string{alone, watched} {
		if err := makeNamespace(t, name); err != nil {
			return figure{}, err
		}
	}
	write := func(namespace string) error {
		object := configMap(namespace, nil)
		do := create(configMapsPath(namespace), func(int) template { return object })
		_, err := load{on: t, setup: true, clients: manyClients, ops: watchEvents, do: do}.run()
		return err
	}
	writes, err := t.spent(func() error { return write(alone) })
	if err != nil {
		return figure{}, err
	}
	streams, err := t.watchAll(configMapsPath(watched), watchers)
	defer func() {
		for _, s := range streams {
			s.conn.close()
		}
	}()
	if err != nil {
		return figure{}, err
	}
	var got int64
	began, last := time.Now(), time.Time{}
	used, err := t.spent(func() error {
		writing := make(chan error, 1)
		go func() { writing <- write(watched) }()
		got, last = receive(streams)
		return <-writing
	})
	if err != nil {
		return figure{}, err
	}
	if got == 0 {
		return figure{}, errors.New("no event arrived")
	}
	f := figure{rate: float64(got) / last.Sub(began).Seconds(), cpu: max(0, used-writes) / time.Duration(got)}
	if lost := watchers*watchEvents - got; lost > 0 {
		f.note = fmt.Sprintf("%d %% of events never arrived", (lost*100+watchers*watchEvents-1)/(watchers*watchEvents))
	}
	return f, nil
}

// spent is the server's processor time while fn runs.
func (t *target) spent(fn func() error) (time.Duration, error) {
	before, err := t.cpu()
	if err != nil {
		return 0, err
	}
	if t.mark != nil {
		t.mark()
		defer t.mark()
	}
	if err := fn(); err != nil {
		return 0, err
	}
	after, err := t.cpu()
	return after - before, err
}

func (t *target) watchAll(path string, n int) ([]*stream, error) {
	revision, err := t.revision(path)
	if err != nil {
		return nil, err
	}
	var streams []*stream
	for range n {
		s, err := t.watch(path + "?watch=1&resourceVersion=" + revision)
		if err != nil {
			return streams, err
		}
		streams = append(streams, s)
	}
	return streams, nil
}

// receive counts the events of all streams until all have come, streams have
// ended or nothing arrives any more. It returns their number and when the last
// came.
func receive(streams []*stream) (int64, time.Time) {
	var got, last atomic.Int64
	var wg sync.WaitGroup
	for _, s := range streams {
		wg.Go(func() {
			n, at := s.receive(watchEvents)
			got.Add(n)
			for {
				before := last.Load()
				if before >= at.UnixNano() || last.CompareAndSwap(before, at.UnixNano()) {
					return
				}
			}
		})
	}
	wg.Wait()
	return got.Load(), time.Unix(0, last.Load())
}

// receive counts up to n events, and returns when the last came.
func (s *stream) receive(n int64) (int64, time.Time) {
	at := time.Time{}
	for i := range n {
		if s.in.Buffered() == 0 {
			if err := s.conn.raw.SetReadDeadline(time.Now().Add(watchPatience)); err != nil {
				return i, at
			}
		}
		if _, err := s.next(); err != nil {
			return i, at
		}
		at = time.Now()
	}
	return n, at
}
