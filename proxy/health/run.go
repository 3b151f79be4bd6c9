package health

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
	"github.com/skiff-sh/skiff/watchcache"
)

// Deps is what Run needs.
type Deps struct {
	Cache *watchcache.Cache // complete for services and endpoint slices
	Node  string
	Log   *slog.Logger
}

// Run listens on every health port of the view until the context ends.
func Run(ctx context.Context, d Deps) error {
	p := &ports{log: d.Log, open: map[int32]*port{}}
	defer p.set(nil)
	kinds := []*resource.Info{resource.Services.Info, resource.EndpointSlices.Info}
	v := d.Cache.View()
	reader := d.Cache.Read(v.Revision(), kinds...)
	defer func() { reader.Close() }()
	p.set(Answers(v, d.Node))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reader.Ready():
		}
		changes, v, err := reader.Poll()
		if err != nil { // more has happened than the log keeps
			reader.Close()
			v = d.Cache.View()
			reader = d.Cache.Read(v.Revision(), kinds...)
		}
		if err != nil || anyConcerns(v, changes) {
			p.set(Answers(v, d.Node))
		}
	}
}

func anyConcerns(v *view.View, changes []watchcache.Change) bool {
	for _, c := range changes {
		for _, e := range []*view.Entry{c.Old, c.New} {
			if e != nil && concerns(v, e.Object) {
				return true
			}
		}
	}
	return false
}

// ports are the open ports. One that cannot be opened is logged and tried
// again when something changes.
type ports struct {
	log  *slog.Logger
	open map[int32]*port
}

// port is one listener and what it says now.
type port struct {
	answer atomic.Pointer[Answer]
	server *http.Server
}

func (p *ports) set(want map[int32]Answer) {
	for number, o := range p.open {
		if _, ok := want[number]; !ok {
			o.server.Close()
			delete(p.open, number)
		}
	}
	for number, a := range want {
		if p.open[number] == nil {
			o, err := listen(number)
			if err != nil {
				p.log.Warn("open health port", "service", a.Service, "error", err)
				continue
			}
			p.open[number] = o
		}
		p.open[number].answer.Store(&a)
	}
}

// askTime bounds a request; balancers ask for one line.
const askTime = 10 * time.Second

func listen(number int32) (*port, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(int(number))))
	if err != nil {
		return nil, fmt.Errorf("listen on port %d: %w", number, err)
	}
	o := &port{}
	o.answer.Store(&Answer{})
	o.server = &http.Server{Handler: o, ReadTimeout: askTime, WriteTimeout: askTime}
	go func() { _ = o.server.Serve(l) }() // ends when set closes it
	return o, nil
}

// body is upstream's answer, field by field.
type body struct {
	Service struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"service"`
	LocalEndpoints      int  `json:"localEndpoints"`
	ServiceProxyHealthy bool `json:"serviceProxyHealthy"`
}

// ServeHTTP says 200 when the node has endpoints and 503 when it has none.
func (o *port) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a := o.answer.Load()
	b := body{LocalEndpoints: a.Local, ServiceProxyHealthy: true}
	b.Service.Namespace, b.Service.Name = a.Service.Namespace, a.Service.Name
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(a.Local))
	if a.Local == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(b)
}
