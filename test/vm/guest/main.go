// Command guest runs in the virtual machine of test/vm: it starts a cluster with
// "skiff up", looks at what the pods of pods.yaml do and at what is in the
// machine's own cgroup v2, takes the cluster down, and prints what it found, one
// line for each check and "N passed, N failed".
//
//	guest [REGEXP]     checks whose names match
//	guest sctp         serves SCTP in a pod
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	program    = "/skiff/skiff"
	data       = "/var/lib/skiff/default"
	kubeconfig = data + "/admin.kubeconfig"
	// patience is how long anything may take. An emulated processor needs a
	// tenth of it at most.
	patience = 90 * time.Second
)

//go:embed pods.yaml
var pods string

// guest is this machine with a cluster on it.
type guest struct {
	ctx    context.Context
	client *kubernetes.Clientset
	before machine // as it was without a cluster
}

// check is one thing that must hold.
type check struct {
	name string
	run  func(*guest) error
}

// checks in their order: the first starts the cluster, the last takes it down.
func checks() []check {
	return []check{
		{"a cluster starts and is Ready", start},
		{"images load and pods start", load},
		{"a liveness probe restarts a container", liveness},
		{"a service answers at its ClusterIP and NodePort", service},
		{"names resolve in a pod", names},
		{"an SCTP service answers", sctpService},
		{"a network policy keeps others out", policy},
		{"requests and limits are in cgroup v2", limits},
		{"systemd's reload leaves control groups alone", reload},
		{"classes of pods share the processors by their requests", classes},
		{"the node tells what pods use", usage},
		{"a container over its memory limit is OOMKilled", outOfMemory},
		{"a resize in place changes the limits", resize},
		{"a readiness probe decides about Ready", readiness},
		{"emptyDir in memory", memoryVolume},
		{"a changed ConfigMap arrives in a pod", configMap},
		{"exec and logs", execAndLogs},
		{"hostPath", hostPath},
		{"a pod ends in grace and leaves no control group", graceful},
		{"a killed agent leaves containers running", killed},
		{"skiff down leaves nothing", down},
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "sctp" {
		if err := serveSCTP(); err != nil {
			fmt.Fprintln(os.Stderr, "serve SCTP:", err)
			os.Exit(1)
		}
	}
	chosen := regexp.MustCompile(strings.Join(os.Args[1:], " "))
	g := &guest{ctx: context.Background()}
	passed, failed := 0, 0
	for i, c := range checks() {
		always := i < 2 || i == len(checks())-1
		if !always && !chosen.MatchString(c.name) {
			continue
		}
		began := time.Now()
		if err := c.run(g); err != nil {
			failed++
			fmt.Printf("FAIL  %-60s %5.1fs\n      %s\n", c.name, time.Since(began).Seconds(), strings.ReplaceAll(err.Error(), "\n", "\n      "))
			showLog()
			if i < 2 {
				break // nothing runs that the others could look at
			}
			continue
		}
		passed++
		fmt.Printf("ok    %-60s %5.1fs\n", c.name, time.Since(began).Seconds())
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
}

// showLog prints the end of the server's log to the console, for who wonders why
// a check failed.
func showLog() {
	const most = 8 << 10
	if text, err := os.ReadFile(data + "/server.log"); err == nil {
		fmt.Fprintf(os.Stderr, "%s\n", text[max(0, len(text)-most):])
	}
}

func start(g *guest) (err error) {
	if g.before, err = look(); err != nil {
		return err
	}
	if _, err := run("", program, "up"); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	if g.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	node, err := g.client.CoreV1().Nodes().Get(g.ctx, "guest", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if want := c.Type == corev1.NodeReady; (c.Status == corev1.ConditionTrue) != want {
			return fmt.Errorf("the node's condition %s is %s: %s", c.Type, c.Status, c.Message)
		}
	}
	return nil
}

func load(g *guest) error {
	if _, err := run("", program, "image", "load", "/skiff/images/busybox.tar"); err != nil {
		return err
	}
	if err := os.WriteFile(shared+"/from-the-host", []byte("ahoy"), 0o644); err != nil {
		return err
	}
	if _, err := kubectl(pods, "apply", "-f", "-"); err != nil {
		return err
	}
	return g.eventually(func() error {
		for _, name := range []string{"burstable", "guaranteed", "visitor", "polite"} {
			if _, err := g.running(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// kubectl is the one within skiff.
func kubectl(stdin string, args ...string) (string, error) {
	return run(stdin, append([]string{program, "kubectl", "--kubeconfig", kubeconfig}, args...)...)
}

// run runs a program and returns what it printed.
func run(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// eventually asks again and again until there is nothing to complain of.
func (g *guest) eventually(ask func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// running is a pod whose containers run.
func (g *guest) running(name string) (*corev1.Pod, error) {
	pod, err := g.client.CoreV1().Pods("default").Get(g.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running == nil {
			return nil, fmt.Errorf("pod %s: container %s is %+v", name, s.Name, s.State)
		}
	}
	if pod.Status.Phase != corev1.PodRunning {
		return nil, fmt.Errorf("pod %s is %s, its conditions %+v", name, pod.Status.Phase, pod.Status.Conditions)
	}
	return pod, nil
}
