package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	netNamespace  = "network"
	servicesPath  = "/api/v1/namespaces/" + netNamespace + "/services"
	slicesPath    = "/apis/discovery.k8s.io/v1/namespaces/" + netNamespace + "/endpointslices"
	netPort       = 8080
	changes       = 21
	connects      = 1000
	streamTime    = 3 * time.Second
	netPatience   = 10 * time.Second
	dnsTime       = 3 * time.Second
	dnsSockets    = 2
	dnsInFlight   = 64
	dnsGoal       = 120_000 // queries a second and core
	changeGoal    = 10 * time.Millisecond
	manyServices  = 5000
	someServices  = 1000
	endpointsEach = 3
)

// networkRow is what services and DNS cost: from one pod to another, through rules
// for thousands of services that nobody uses.
func networkRow(b *bench) []line {
	l := networkLines{
		some:    line{measure: "an endpoint's change, API to first packet, 1,000 services", unit: seconds, goal: changeGoal.Seconds()},
		many:    line{measure: "an endpoint's change, API to first packet, 5,000 services", unit: seconds, goal: changeGoal.Seconds()},
		connect: line{measure: "connect by one of 5,000 services", unit: seconds},
		stream:  line{measure: "MiB, pod to pod by a service", unit: perSecond},
		query:   line{measure: "DNS query by a pod, processor each", unit: seconds, goal: 1.0 / dnsGoal},
	}
	if err := b.network(&l); err != nil {
		l.some.why = err
		return []line{l.some}
	}
	return []line{l.some, l.many, l.connect, l.stream, l.query}
}

type networkLines struct{ some, many, connect, stream, query line }

// network measures on the whole node, with two pods of its own.
func (b *bench) network(l *networkLines) error {
	c, err := b.node()
	if err != nil {
		return err
	}
	runtime, err := newRuntime(c.socket)
	if err != nil {
		return err
	}
	defer runtime.conn.Close()
	through, err := newPods(c.target, runtime)
	defer through.close()
	if err != nil {
		return err
	}
	if _, err := through.run(2); err != nil {
		return err
	}
	n := &wire{t: c.target}
	if n.from, err = c.podSpace(through.live[0]); err == nil {
		n.to, err = c.podSpace(through.live[1])
	}
	if err == nil {
		err = n.measure(b, l)
	}
	return errors.Join(err, n.close(), through.clean())
}

// space is a pod's network.
type space struct {
	ip string
	ns netns.NsHandle
}

// podSpace finds the network of a running pod by its control group.
func (c *cluster) podSpace(name string) (space, error) {
	data, err := c.once(request{method: "GET", path: podsPath + "/" + name, accept: mediaJSON})
	if err != nil {
		return space{}, err
	}
	var pod corev1.Pod
	if err := json.Unmarshal(data, &pod); err != nil {
		return space{}, fmt.Errorf("read pod %s: %w", name, err)
	}
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return space{}, err
	}
	for _, file := range groups {
		if text, _ := os.ReadFile(file); !strings.Contains(string(text), "pod"+string(pod.UID)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return space{}, err
		}
		ns, err := netns.GetFromPid(pid)
		return space{pod.Status.PodIP, ns}, err
	}
	return space{}, fmt.Errorf("no process of pod %s is found", name)
}

// in runs fn on a thread within the pod's network.
func (s space) in(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(s.ns); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}

// wire is a pod that asks and a pod that answers.
type wire struct {
	t        *target
	from, to space
	listener net.Listener
	made     int
}

func (w *wire) close() error {
	if w.listener != nil {
		w.listener.Close()
	}
	var errs []error
	for _, path := range []string{servicesPath, slicesPath} {
		if _, err := w.t.once(request{method: "DELETE", path: path}); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (w *wire) measure(b *bench, l *networkLines) error {
	if err := w.serve(); err != nil {
		return err
	}
	if err := makeNamespace(w.t, netNamespace); err != nil {
		return err
	}
	service, err := w.service("asked")
	if err != nil {
		return err
	}
	var alone time.Duration
	for _, step := range []struct {
		services int
		set      func(time.Duration)
	}{
		{0, func(d time.Duration) { alone = d }},
		{someServices, func(d time.Duration) { l.some.skiff, l.some.limit = d.Seconds(), alone.Seconds() }},
		{manyServices, func(d time.Duration) { l.many.skiff, l.many.limit = d.Seconds(), alone.Seconds() }},
	} {
		if err := w.fill(step.services); err != nil {
			return err
		}
		took, err := w.change("asked", service)
		if err != nil {
			return err
		}
		step.set(took)
	}
	l.some.note = fmt.Sprintf("median of %d; limit: with this service alone", changes)
	direct := net.JoinHostPort(w.to.ip, strconv.Itoa(netPort))
	for address, set := range map[string]func(*line, float64){
		service: func(l *line, v float64) { l.skiff = v }, direct: func(l *line, v float64) { l.limit = v },
	} {
		took, err := w.connect(address)
		if err != nil {
			return err
		}
		set(&l.connect, took.Seconds())
		rate, err := w.stream(address, b.length(streamTime))
		if err != nil {
			return err
		}
		set(&l.stream, rate)
	}
	l.connect.note = "limit: to the pod's own address"
	l.stream.note = "limit: to the pod's own address"
	return w.queries(b, &l.query)
}

// serve takes connections in the answering pod and reads what comes.
func (w *wire) serve() error {
	return w.to.in(func() error {
		var err error
		if w.listener, err = net.Listen("tcp4", fmt.Sprintf(":%d", netPort)); err != nil {
			return err
		}
		go func() {
			for {
				c, err := w.listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_, _ = io.CopyBuffer(writerOnly{io.Discard}, c, make([]byte, 1<<20))
				}()
			}
		}()
		return nil
	})
}

// writerOnly hides what would make copying use small buffers.
type writerOnly struct{ io.Writer }

// service makes the service that is measured and returns its address.
func (w *wire) service(name string) (string, error) {
	body := encode(core("Service"), serviceOf(name))
	data, err := w.t.once(request{method: "POST", path: servicesPath, media: mediaProtobuf, body: body, accept: mediaJSON})
	if err != nil {
		return "", err
	}
	var made corev1.Service
	if err := json.Unmarshal(data, &made); err != nil {
		return "", fmt.Errorf("read service: %w", err)
	}
	_, err = w.t.once(request{method: "POST", path: slicesPath, media: mediaProtobuf, body: encode(sliceKind, sliceOf(name))})
	return net.JoinHostPort(made.Spec.ClusterIP, "80"), err
}

var sliceKind = discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice")

func serviceOf(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: netNamespace, Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func sliceOf(service string, addresses ...string) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: netNamespace, Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(netPort)), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, a := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}})
	}
	return slice
}

// fill makes services until there are n beside the one that is measured.
func (w *wire) fill(n int) error {
	service := newTemplate(encode(core("Service"), serviceOf("service-"+digits)))
	var others []string
	for i := range endpointsEach {
		others = append(others, fmt.Sprintf("10.231.255.%d", i+1))
	}
	slice := newTemplate(encode(sliceKind, sliceOf("service-"+digits, others...)))
	from := w.made
	w.made = max(w.made, n)
	if w.made == from {
		return nil
	}
	_, err := load{on: w.t, setup: true, clients: manyClients, ops: w.made - from, do: func(c *conn, _, i int) (int, error) {
		if _, err := c.do(request{method: "POST", path: servicesPath, media: mediaProtobuf, body: service.number(nil, from+i)}); err != nil {
			return 0, err
		}
		return c.do(request{method: "POST", path: slicesPath, media: mediaProtobuf, body: slice.number(nil, from+i)})
	}}.run()
	return err
}

// change gives the service its endpoint and takes it away again, and returns how
// long it takes from the API's answer until a client gets there.
func (w *wire) change(name, address string) (time.Duration, error) {
	with, without := fmt.Appendf(nil, `{"endpoints":[{"addresses":[%q]}]}`, w.to.ip), []byte(`{"endpoints":[]}`)
	c, err := w.t.dial()
	if err != nil {
		return 0, err
	}
	defer c.close()
	set := func(body []byte, there bool) (time.Duration, error) {
		if _, err := c.do(request{method: "PATCH", path: slicesPath + "/" + name, media: mediaMergePatch, body: body}); err != nil {
			return 0, err
		}
		began := time.Now()
		return w.until(address, there, began)
	}
	var took []time.Duration
	for range changes {
		if _, err := set(without, false); err != nil {
			return 0, err
		}
		d, err := set(with, true)
		if err != nil {
			return 0, err
		}
		took = append(took, d)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// until asks again and again until the address answers, or refuses.
func (w *wire) until(address string, there bool, began time.Time) (took time.Duration, err error) {
	return took, w.from.in(func() error {
		for {
			c, err := net.DialTimeout("tcp4", address, netPatience)
			took = time.Since(began)
			if err == nil {
				c.Close()
			}
			if (err == nil) == there {
				return nil
			}
			if took > netPatience {
				return fmt.Errorf("%s answers: %v, want %v: %w", address, !there, there, err)
			}
		}
	})
}

// connect is the median time to open a connection.
func (w *wire) connect(address string) (time.Duration, error) {
	var took []time.Duration
	err := w.from.in(func() error {
		for range connects {
			began := time.Now()
			c, err := net.Dial("tcp4", address)
			if err != nil {
				return err
			}
			took = append(took, time.Since(began))
			if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(took)
	if err != nil {
		return 0, err
	}
	return took[len(took)/2], nil
}

// stream is how many MiB a second one connection carries.
func (w *wire) stream(address string, length time.Duration) (rate float64, err error) {
	return rate, w.from.in(func() error {
		c, err := net.Dial("tcp4", address)
		if err != nil {
			return err
		}
		defer c.Close()
		buf, sent, began := make([]byte, 1<<20), 0, time.Now()
		for time.Since(began) < length {
			n, err := c.Write(buf)
			if sent += n; err != nil {
				return err
			}
		}
		rate = float64(sent) / (1 << 20) / time.Since(began).Seconds()
		return nil
	})
}

// queries asks the cluster's DNS for the measured service, and then a program that
// sends each packet back.
func (w *wire) queries(b *bench, l *line) error {
	query, err := new(dns.Msg).SetQuestion("asked."+netNamespace+".svc.cluster.local.", dns.TypeA).Pack()
	if err != nil {
		return err
	}
	var rate float64
	if rate, l.skiff, err = flood(b, w.t, dnsAddress, query); err != nil {
		return err
	}
	var address string
	echo, err := b.startLimit(&address, "udp")
	if err != nil {
		return err
	}
	defer echo.stop()
	if _, l.limit, err = flood(b, &target{pids: []int{echo.program.PID()}}, address, query); err != nil {
		return err
	}
	l.note = fmt.Sprintf("%.0f/s beside the client; limit: a program that sends packets back", rate)
	return nil
}

// dnsAddress is the cluster's DNS: the tenth service address.
const dnsAddress = "10.230.0.10:53"

// flood keeps queries under way and returns their rate, and the server's processor
// time for each in seconds.
func flood(b *bench, t *target, address string, query []byte) (rate, each float64, err error) {
	var mu sync.Mutex
	total, failures := 0, []error(nil)
	began := time.Now()
	used, err := t.spent(func() error {
		var wg sync.WaitGroup
		for range dnsSockets {
			wg.Go(func() {
				n, err := ask(address, query, b.length(dnsTime))
				mu.Lock()
				defer mu.Unlock()
				if total += n; err != nil {
					failures = append(failures, err)
				}
			})
		}
		wg.Wait()
		return errors.Join(failures...)
	})
	if err != nil {
		return 0, 0, err
	}
	return float64(total) / time.Since(began).Seconds(), used.Seconds() / float64(total), nil
}

// ask keeps queries under way on one socket and counts the answers.
func ask(address string, query []byte, length time.Duration) (answers int, err error) {
	c, err := net.Dial("udp4", address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	query, buf := slices.Clone(query), make([]byte, 1500)
	for began := time.Now(); time.Since(began) < length; {
		for i := range dnsInFlight {
			binary.BigEndian.PutUint16(query, uint16(i))
			if _, err := c.Write(query); err != nil {
				return answers, err
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return answers, err
		}
		for range dnsInFlight {
			n, err := c.Read(buf)
			if err != nil {
				return answers, fmt.Errorf("%s does not answer: %w", address, err)
			}
			if n < len(query) {
				return answers, fmt.Errorf("%s answers %d bytes", address, n)
			}
			answers++
		}
	}
	return answers, nil
}
