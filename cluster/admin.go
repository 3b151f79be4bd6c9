package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// admin talks to a cluster as its administrator, from another process.
type admin struct {
	server string
	http   *http.Client
}

// newAdmin reads the administrator's kubeconfig.
func newAdmin(paths Paths) (*admin, error) {
	config, err := clientcmd.BuildConfigFromFlags("", paths.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the administrator's kubeconfig: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("use the administrator's kubeconfig: %w", err)
	}
	return &admin{server: config.Host, http: client}, nil
}

// runningAdmin is the administrator of a cluster that runs on this machine.
func runningAdmin(config Config) (*admin, error) {
	if !running(config.Paths()) {
		return nil, fmt.Errorf("cluster %q does not run on this machine: start it with \"skiff up\"", config.Name)
	}
	return newAdmin(config.Paths())
}

// get reads a document into out; a nil out only wants success.
func (a *admin) get(ctx context.Context, path string, out any) error {
	return a.do(ctx, http.MethodGet, path, out)
}

// do makes a request without a body and reads the answer into out.
func (a *admin) do(ctx context.Context, method, path string, out any) error {
	return a.send(ctx, method, path, nil, out)
}

// send makes a request with a document, unless it is nil, and reads the answer
// into out.
func (a *admin) send(ctx context.Context, method, path string, document, out any) error {
	var body io.Reader
	if document != nil {
		data, err := json.Marshal(document)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.server+path, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if res.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s %s: %w", method, path, errNotFound)
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, data)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// errNotFound says that the server has no such object.
var errNotFound = errors.New("not found")

// startupPoll is how often a command looks whether a cluster that is starting
// answers: there is nothing yet that could tell it.
const startupPoll = 10 * time.Millisecond

// until calls try until it succeeds, ctx ends, or stop has an error.
func until(ctx context.Context, every time.Duration, stop func() error, try func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if stopErr := stop(); stopErr != nil {
			return stopErr
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: the last try said: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// running tells whether the process that runs a data directory is alive.
func running(paths Paths) bool {
	if !fileExists(paths.Lock()) {
		return false // and the look at it makes none
	}
	unlock, err := lock(paths.Lock(), paths.Data)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	unlock()
	return false
}

// fileExists tells whether there is a file.
func fileExists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
