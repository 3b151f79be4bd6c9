package clients

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// helmVersion is that of helm.sh/helm/v3 in go.mod: a build is kept by it.
const helmVersion = "v3.22.0"

// buildHelm builds upstream's Helm, once per version.
func buildHelm(t *testing.T) string {
	t.Helper()
	helm := absolute("../.cache/helm-" + helmVersion)
	if _, err := os.Stat(helm); err == nil {
		return helm
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", helm+".new", "helm.sh/helm/v3/cmd/helm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build helm: %v\n%s", err, out)
	}
	if err := os.Rename(helm+".new", helm); err != nil {
		t.Fatal(err)
	}
	return helm
}

// TestHelm: a chart is installed, upgraded, rolled back and removed, and what
// its service answers follows.
func TestHelm(t *testing.T) {
	binary := buildHelm(t)
	c := start(t, "e2e-helm", "--listen", freePort(t), "--node-listen", "0.0.0.0:10261", "--service-cidr", "10.97.0.0/16", "--pod-cidr", "10.245.0.0/24")
	archives, err := filepath.Glob(filepath.Join(images, "busybox.tar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("%s lacks the archive of busybox: run \"make images\"", images)
	}
	c.skiff(t, "image load", archives...)
	home := t.TempDir()
	helm := func(args ...string) string {
		t.Helper()
		env := []string{"KUBECONFIG=" + c.kubeconfig(), "HELM_CACHE_HOME=" + home, "HELM_CONFIG_HOME=" + home, "HELM_DATA_HOME=" + home}
		return run(t, env, binary, args...)
	}
	const wait = "--wait=true"
	helm("install", "greeter", "testdata/chart", wait, "--timeout", "60s", "--namespace", "web", "--create-namespace")
	c.greets(t, "hello")
	helm("upgrade", "greeter", "testdata/chart", wait, "--timeout", "60s", "--namespace", "web", "--set", "greeting=good day,replicas=1")
	c.greets(t, "good day")
	helm("rollback", "greeter", "1", wait, "--timeout", "60s", "--namespace", "web")
	c.greets(t, "hello")

	var history []struct {
		Revision    int
		Status      string
		Description string
	}
	if err := json.Unmarshal([]byte(helm("history", "greeter", "--namespace", "web", "-o", "json")), &history); err != nil {
		t.Fatal(err)
	}
	if len(history) != 3 || history[2].Status != "deployed" || !strings.HasPrefix(history[2].Description, "Rollback to 1") {
		t.Errorf("the release's history is %+v", history)
	}
	helm("uninstall", "greeter", wait, "--timeout", "60s", "--namespace", "web")
	if _, err := c.client(t).AppsV1().Deployments("web").Get(t.Context(), "greeter", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after uninstalling the deployment is still there: %v", err)
	}
}

// greets waits until the service answers with a sentence.
func (c cluster) greets(t *testing.T, want string) {
	t.Helper()
	service, err := c.client(t).CoreV1().Services("web").Get(t.Context(), "greeter", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (string, error) {
		client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get("http://" + service.Spec.ClusterIP)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		return strings.TrimSpace(string(data)), err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for {
		got, err := ask()
		if err == nil && got == want {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("the service says %q, want %q: %v", got, want, fmt.Sprint(err))
		}
	}
}
