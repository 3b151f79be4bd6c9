package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestChecks(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bad":
			http.Error(w, "bad", http.StatusInternalServerError)
		case "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		case "/agent":
			if r.UserAgent() != "kube-probe/1.37" || r.Host != "name" || r.Header.Get("X") != "y" {
				http.Error(w, "headers", http.StatusBadRequest)
			}
		}
	}))
	defer web.Close()
	port := web.Listener.Addr().(*net.TCPAddr).Port
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer()
	status := health.NewServer()
	status.SetServingStatus("sick", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(rpc, status)
	go rpc.Serve(l)
	defer rpc.Stop()
	rpcPort := int32(l.Addr().(*net.TCPAddr).Port)

	target := Target{IP: "127.0.0.1", Container: &corev1.Container{Name: "c", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(port)}}}}
	get := func(path string, headers ...corev1.HTTPHeader) corev1.ProbeHandler {
		return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(int32(port)), HTTPHeaders: headers}}
	}
	run := func(_ context.Context, _ string, command []string, timeout time.Duration) (int32, string, error) {
		switch command[0] {
		case "slow":
			return 0, "", fmt.Errorf("exec: %w", context.DeadlineExceeded)
		case "broken":
			return 0, "", errors.New("no runtime")
		}
		return int32(len(command) - 1), "said " + command[0], nil
	}
	sick := "sick"
	for _, tc := range []struct {
		name    string
		handler corev1.ProbeHandler
		want    string
	}{
		{"http", get("/"), "ok"},
		{"http with query", get("/?a=b"), "ok"},
		{"http error", get("/bad"), "HTTP probe failed with statuscode: 500"},
		{"http to another host", get("/away"), "ok"},
		{"http headers", get("/agent", corev1.HTTPHeader{Name: "Host", Value: "name"}, corev1.HTTPHeader{Name: "X", Value: "y"}), "ok"},
		{"http too slow", get("/slow"), "context deadline exceeded"},
		{"named port", corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("web")}}, "ok"},
		{"port that is not there", corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("other")}}, "error couldn't find port: other"},
		{"tcp", corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(int32(port))}}, "ok"},
		{"tcp refused", corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}}, "connection refused"},
		{"grpc", corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: rpcPort}}, "ok"},
		{"grpc sick", corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: rpcPort, Service: &sick}}, `service unhealthy (responded with "NOT_SERVING")`},
		{"exec", corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}, "ok"},
		{"exec fails", corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x", "y"}}}, "said x"},
		{"exec too slow", corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"slow"}}}, "command timed out"},
		{"exec impossible", corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"broken"}}}, "error no runtime"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ok, message, err := check(t.Context(), &corev1.Probe{ProbeHandler: tc.handler, TimeoutSeconds: 1}, target, run)
			got := message
			switch {
			case err != nil:
				got = "error " + err.Error()
			case ok:
				got = "ok"
			}
			if !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// play lets a prober run in made-up time, with a container that is well when the
// function says so, and returns its reports.
func play(t *testing.T, c *corev1.Container, healthy func(command string, at time.Duration) bool, lasts time.Duration) []string {
	var out []string
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		reports := make(chan string, 1000)
		p := New(func(_ context.Context, _ string, command []string, _ time.Duration) (int32, string, error) {
			if healthy(command[0], time.Since(start)) {
				return 0, "", nil
			}
			return 1, "no", nil
		}, func(r Report) {
			reports <- fmt.Sprintf("%v %s changed=%v healthy=%v", time.Since(start), r.Kind, r.Changed, r.Healthy)
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.Run(ctx); close(done) }()
		synctest.Wait()
		p.Add(Target{ID: "id", Container: c, Started: start}, false, false)
		time.Sleep(lasts)
		cancel()
		<-done
		close(reports)
		for r := range reports {
			out = append(out, r)
		}
	})
	return out
}

func exec(name string, delay, period, success, failure int32) *corev1.Probe {
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{name}}},
		InitialDelaySeconds: delay, PeriodSeconds: period, SuccessThreshold: success, FailureThreshold: failure, TimeoutSeconds: 1}
}

func TestSchedule(t *testing.T) {
	for _, tc := range []struct {
		name    string
		c       corev1.Container
		healthy func(string, time.Duration) bool
		lasts   time.Duration
		want    []string
	}{
		{"ready when it is, not when the period ends", corev1.Container{ReadinessProbe: exec("r", 0, 10, 1, 3)},
			func(_ string, at time.Duration) bool { return at > 300*time.Millisecond }, 35 * time.Second,
			[]string{"750ms readiness changed=true healthy=true"}},
		{"ready late", corev1.Container{ReadinessProbe: exec("r", 5, 10, 2, 3)},
			func(string, time.Duration) bool { return true }, 35 * time.Second,
			[]string{"15s readiness changed=true healthy=true"}},
		{"unready after three failures, ready after one success", corev1.Container{ReadinessProbe: exec("r", 0, 1, 1, 3)},
			func(_ string, at time.Duration) bool { return at < 4500*time.Millisecond || at > 9500*time.Millisecond }, 12 * time.Second,
			[]string{"0s readiness changed=true healthy=true", "5s readiness changed=false healthy=false", "6s readiness changed=false healthy=false",
				"7s readiness changed=true healthy=false", "8s readiness changed=false healthy=false", "9s readiness changed=false healthy=false",
				"10s readiness changed=true healthy=true"}},
		{"liveness ends with the container", corev1.Container{LivenessProbe: exec("l", 0, 1, 1, 2)},
			func(_ string, at time.Duration) bool { return at < 1500*time.Millisecond }, 10 * time.Second,
			[]string{"2s liveness changed=false healthy=false", "3s liveness changed=true healthy=false"}},
		{"the others wait for startup", corev1.Container{StartupProbe: exec("s", 0, 1, 1, 10), LivenessProbe: exec("l", 0, 5, 1, 1), ReadinessProbe: exec("r", 0, 5, 1, 1)},
			func(name string, at time.Duration) bool {
				return name != "l" && at > 3*time.Second || name == "l" && at < 4*time.Second
			}, 12 * time.Second,
			[]string{"250ms startup changed=false healthy=false", "1.25s startup changed=false healthy=false", "2.25s startup changed=false healthy=false",
				"3.25s startup changed=true healthy=true", "3.25s readiness changed=true healthy=true", "8.25s liveness changed=true healthy=false"}},
		{"never started", corev1.Container{StartupProbe: exec("s", 0, 1, 1, 2)},
			func(string, time.Duration) bool { return false }, 10 * time.Second,
			[]string{"250ms startup changed=false healthy=false", "1.25s startup changed=true healthy=false"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := play(t, &tc.c, tc.healthy, tc.lasts)
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("reports:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}
