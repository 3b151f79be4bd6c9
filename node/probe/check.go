package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Exec runs a command in a container. exit is its code, output what it wrote.
type Exec func(ctx context.Context, containerID string, command []string, timeout time.Duration) (exit int32, output string, err error)

// Target is the container that is probed.
type Target struct {
	ID        string // of the container
	Owner     string // what the caller knows its pod by
	IP        string // of its pod
	Container *corev1.Container
	Started   time.Time
}

// maxOutput bounds what is read of an answer, for the message.
const maxOutput = 10 * 1024

// check does one probe. It returns whether the container is well and, if not,
// why. An error says that the check itself could not be done: it counts for
// nothing.
func check(ctx context.Context, p *corev1.Probe, t Target, exec Exec) (ok bool, message string, err error) {
	timeout := time.Duration(max(p.TimeoutSeconds, 1)) * time.Second
	if p.Exec != nil {
		return checkExec(ctx, p, t, exec, timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return checkHTTP(ctx, p.HTTPGet, t)
	case p.TCPSocket != nil:
		return checkTCP(ctx, p.TCPSocket, t)
	case p.GRPC != nil:
		return checkGRPC(ctx, p.GRPC, t, timeout)
	}
	return false, "", errors.New("missing probe handler")
}

func checkExec(ctx context.Context, p *corev1.Probe, t Target, exec Exec, timeout time.Duration) (bool, string, error) {
	code, output, err := exec(ctx, t.ID, p.Exec.Command, timeout)
	switch {
	case status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Sprintf("command timed out: %q timed out after %s", strings.Join(p.Exec.Command, " "), timeout), nil
	case err != nil:
		return false, "", err
	}
	return code == 0, output, nil
}

// Port resolves a port that may be a name of one of the container's.
func Port(p intstr.IntOrString, c *corev1.Container) (int, error) {
	if p.Type == intstr.Int {
		return int(p.IntVal), nil
	}
	for _, port := range c.Ports {
		if port.Name == p.StrVal {
			return int(port.ContainerPort), nil
		}
	}
	if n, err := strconv.Atoi(p.StrVal); err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("couldn't find port: %s in container %s", p.StrVal, c.Name)
}

// URL returns what an HTTP action asks for.
func URL(a *corev1.HTTPGetAction, ip string, c *corev1.Container) (*url.URL, error) {
	port, err := Port(a.Port, c)
	if err != nil {
		return nil, err
	}
	host := a.Host
	if host == "" {
		host = ip
	}
	u, err := url.Parse(a.Path)
	if err != nil {
		u = &url.URL{Path: a.Path}
	}
	u.Scheme = strings.ToLower(string(a.Scheme))
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	u.Host = net.JoinHostPort(host, strconv.Itoa(port))
	return u, nil
}

// Get does an HTTP action. Certificates are not verified (the container's own
// are nobody's concern), and redirects to other hosts are not followed.
func Get(ctx context.Context, a *corev1.HTTPGetAction, ip string, c *corev1.Container, agent string) (*http.Response, error) {
	u, err := URL(a, ip, c)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, h := range a.HTTPHeaders {
		req.Header.Add(h.Name, h.Value)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if _, set := req.Header["User-Agent"]; !set {
		req.Header.Set("User-Agent", agent)
	}
	if _, set := req.Header["Accept"]; !set {
		req.Header.Set("Accept", "*/*")
	}
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives:  true,
			DisableCompression: true,
			Proxy:              nil,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse
			}
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return nil
		},
	}
	return client.Do(req)
}

func checkHTTP(ctx context.Context, a *corev1.HTTPGetAction, t Target) (bool, string, error) {
	if _, err := URL(a, t.IP, t.Container); err != nil {
		return false, "", err
	}
	resp, err := Get(ctx, a, t.IP, t.Container, "kube-probe/1.37")
	if err != nil {
		return false, err.Error(), nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOutput))
	if err != nil {
		return false, err.Error(), nil
	}
	if resp.StatusCode >= http.StatusOK && resp.StatusCode < http.StatusBadRequest {
		return true, string(body), nil
	}
	return false, fmt.Sprintf("HTTP probe failed with statuscode: %d", resp.StatusCode), nil
}

func checkTCP(ctx context.Context, a *corev1.TCPSocketAction, t Target) (bool, string, error) {
	port, err := Port(a.Port, t.Container)
	if err != nil {
		return false, "", err
	}
	host := a.Host
	if host == "" {
		host = t.IP
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false, err.Error(), nil
	}
	return true, "", conn.Close()
}

func checkGRPC(ctx context.Context, a *corev1.GRPCAction, t Target, timeout time.Duration) (bool, string, error) {
	service := ""
	if a.Service != nil {
		service = *a.Service
	}
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(t.IP, strconv.Itoa(int(a.Port))),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("kube-probe/1.37"))
	if err != nil {
		return false, err.Error(), nil
	}
	defer conn.Close()
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unimplemented:
		return false, fmt.Sprintf("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s", status.Convert(err).Message()), nil
	case codes.DeadlineExceeded:
		return false, fmt.Sprintf("timeout: health rpc did not complete within %s", timeout), nil
	default:
		return false, fmt.Sprintf("error: health rpc probe failed: %v", err), nil
	}
	if resp.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return false, fmt.Sprintf("service unhealthy (responded with %q)", resp.Status), nil
	}
	return true, "", nil
}
