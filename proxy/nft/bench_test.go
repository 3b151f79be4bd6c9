package nft

import (
	"fmt"
	"net"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/skiff-sh/skiff/proxy"
)

// many is n services of 3 endpoints each, the last of them pod 1 of the lab.
func many(n int) proxy.Input {
	in := proxy.Input{Config: config()}
	for i := range n {
		name := fmt.Sprintf("s%d", i)
		in.Services = append(in.Services, service(name, fmt.Sprintf("10.96.%d.%d", i/250, i%250+1), func(s *corev1.Service) {
			s.Spec.Ports = s.Spec.Ports[:1]
		}))
		in.Slices = append(in.Slices, slice(name, "10.78.0.1", "10.78.0.2", "10.78.0.3"))
	}
	in.Slices[n-1] = slice(fmt.Sprintf("s%d", n-1), podIPs[1])
	return in
}

func BenchmarkSync(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLab(b)
			w := l.writer()
			in := many(n)
			for b.Loop() {
				if err := w.Sync(proxy.Plan(in)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChange adds and removes an endpoint of one service among 5,000,
// from the objects to the kernel.
func BenchmarkChange(b *testing.B) {
	l := newLab(b)
	w := l.writer()
	in := many(5000)
	book, _ := proxy.NewBook(in.Config)
	for i, s := range in.Services {
		book.SetService(s, in.Slices[i:i+1])
	}
	if err := w.Sync(book.Ruleset()); err != nil {
		b.Fatal(err)
	}
	other := []*discoveryv1.EndpointSlice{slice("s77", "10.78.0.1", "10.78.0.2")}
	i := 0
	for b.Loop() {
		eps := other
		if i++; i%2 == 0 {
			eps = in.Slices[77:78]
		}
		if err := w.Apply(book.SetService(in.Services[77], eps)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect opens TCP connections from a pod to the last of n services;
// "direct" goes to the endpoint itself, without translation.
func BenchmarkConnect(b *testing.B) {
	for _, n := range []int{0, 1, 5000} {
		name := fmt.Sprintf("services-%d", n)
		if n == 0 {
			name = "direct"
		}
		b.Run(name, func(b *testing.B) {
			l := newLab(b)
			l.serve(l.pods[1], "pod1", podIPs[1]+":8080")
			w := l.writer()
			in := many(max(n, 1))
			if err := w.Sync(proxy.Plan(in)); err != nil {
				b.Fatal(err)
			}
			to := in.Services[len(in.Services)-1].Spec.ClusterIP + ":80"
			if n == 0 {
				to = podIPs[1] + ":8080"
			}
			l.in(l.pods[0], func() error {
				for b.Loop() {
					c, err := net.Dial("tcp", to)
					if err != nil {
						return err
					}
					c.(*net.TCPConn).SetLinger(0)
					c.Close()
				}
				return nil
			})
		})
	}
}
