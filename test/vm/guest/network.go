package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// visit asks on a connection of its own.
func visit(url string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}

func (g *guest) address(service string) (string, error) {
	s, err := g.client.CoreV1().Services("default").Get(g.ctx, service, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return s.Spec.ClusterIP, nil
}

// service: both replicas answer at both addresses, and one of them at the
// address that remembers.
func service(g *guest) error {
	address, err := g.address("web")
	if err != nil {
		return err
	}
	for _, url := range []string{"http://" + address + "/name", "http://10.0.2.15:30080/name"} {
		seen := map[string]bool{}
		err := g.eventually(func() error {
			name, err := visit(url)
			if err != nil {
				return err
			}
			if seen[name] = true; len(seen) < 2 {
				return fmt.Errorf("%s: answers came from %v only", url, seen)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if address, err = g.address("sticky"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for range 8 {
		name, err := visit("http://" + address + "/name")
		if err != nil {
			return err
		}
		seen[name] = true
	}
	if len(seen) != 1 {
		return fmt.Errorf("with affinity, answers came from %v", seen)
	}
	return nil
}

func names(g *guest) error {
	address, err := g.address("web")
	if err != nil {
		return err
	}
	// Debian's static busybox resolves names in nslookup alone.
	out, err := kubectl("", "exec", "visitor", "--", "nslookup", "web.default.svc.cluster.local")
	if err != nil {
		return err
	}
	if !strings.Contains(out, address) {
		return fmt.Errorf("the name's address is not %s:\n%s", address, out)
	}
	return ask("visitor", address, "80")
}

// ask has a pod ask for a page. Debian's static busybox crashes in wget, which
// resolves even addresses.
func ask(pod, address, port string) error {
	out, err := kubectl("GET /name HTTP/1.0\r\n\r\n", "exec", "-i", pod, "--", "nc", "-w", "5", address, port)
	if err == nil && !strings.HasPrefix(out, "HTTP/1.1 200 OK") {
		err = fmt.Errorf("%s:%s answers to pod %s: %q", address, port, pod, out)
	}
	return err
}

func policy(g *guest) error {
	pod, err := g.running("guarded")
	if err != nil {
		return err
	}
	if err := ask("guaranteed", pod.Status.PodIP, "8080"); err != nil {
		return fmt.Errorf("whom the policy lets in: %w", err)
	}
	if err := ask("visitor", pod.Status.PodIP, "8080"); err == nil {
		return errors.New("the guarded pod answers to one that the policy keeps out")
	}
	return nil
}

const (
	sctpPort = 9000
	greeting = "ahoy over SCTP"
)

// serveSCTP greets everyone who connects.
func serveSCTP() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Bind(socket, &unix.SockaddrInet4{Port: sctpPort}), unix.Listen(socket, 8)); err != nil {
		return err
	}
	for {
		connection, _, err := unix.Accept(socket)
		if err != nil {
			return err
		}
		_, err = unix.Write(connection, []byte(greeting))
		if err := errors.Join(err, unix.Close(connection)); err != nil {
			return err
		}
	}
}

func sctpService(g *guest) error {
	address, err := g.address("sctp")
	if err != nil {
		return err
	}
	return g.eventually(func() error { return greetedAt(address) })
}

func greetedAt(address string) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Port: sctpPort, Addr: [4]byte(net.ParseIP(address).To4())}
	if err := unix.Connect(socket, to); err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	text := make([]byte, 100)
	n, err := unix.Read(socket, text)
	if err == nil && !bytes.Equal(text[:n], []byte(greeting)) {
		err = fmt.Errorf("the service said %q", text[:n])
	}
	return err
}
