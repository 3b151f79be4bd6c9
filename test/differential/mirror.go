package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skiff-sh/skiff/bench/process"
)

// mirror is what a server holds of some kinds, followed by watches.
type mirror struct {
	mu      sync.Mutex
	objects map[*kind]map[string]map[string]any // by "namespace/name"
	changed map[string]time.Time                // by namespace; "" is for what has none
	onPod   func(pod map[string]any)
}

// followed are the kinds whose objects controllers make or change.
var followed = []*kind{
	{version: "v1", name: "pods", namespaced: true},
	{version: "v1", name: "services", namespaced: true},
	{version: "v1", name: "endpoints", namespaced: true},
	{version: "v1", name: "serviceaccounts", namespaced: true},
	{version: "v1", name: "configmaps", namespaced: true},
	{version: "v1", name: "secrets", namespaced: true},
	{version: "v1", name: "replicationcontrollers", namespaced: true},
	{version: "v1", name: "resourcequotas", namespaced: true},
	{version: "v1", name: "persistentvolumeclaims", namespaced: true},
	{version: "v1", name: "events", namespaced: true},
	{version: "v1", name: "persistentvolumes"},
	{version: "v1", name: "nodes"},
	{version: "v1", name: "namespaces"},
	{group: "apps", version: "v1", name: "deployments", namespaced: true},
	{group: "apps", version: "v1", name: "replicasets", namespaced: true},
	{group: "apps", version: "v1", name: "statefulsets", namespaced: true},
	{group: "apps", version: "v1", name: "daemonsets", namespaced: true},
	{group: "apps", version: "v1", name: "controllerrevisions", namespaced: true},
	{group: "batch", version: "v1", name: "jobs", namespaced: true},
	{group: "batch", version: "v1", name: "cronjobs", namespaced: true},
	{group: "policy", version: "v1", name: "poddisruptionbudgets", namespaced: true},
	{group: "discovery.k8s.io", version: "v1", name: "endpointslices", namespaced: true},
	{group: "autoscaling", version: "v2", name: "horizontalpodautoscalers", namespaced: true},
}

func newMirror(onPod func(map[string]any)) *mirror {
	return &mirror{objects: map[*kind]map[string]map[string]any{}, changed: map[string]time.Time{}, onPod: onPod}
}

// all is the path of a kind's objects in all namespaces.
func (k *kind) all() string {
	everywhere := *k
	everywhere.namespaced = false
	return everywhere.base("")
}

// follow watches a kind until ctx ends.
func (m *mirror) follow(ctx context.Context, s *server, k *kind) {
	for ctx.Err() == nil {
		if err := m.watch(ctx, s, k); err != nil && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond) // the server has just started, or ended the watch
		}
	}
}

func (m *mirror) watch(ctx context.Context, s *server, k *kind) error {
	res, err := s.open(ctx, request{method: http.MethodGet, path: k.all() + "?watch=1&resourceVersion=0"})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("watch %s: %s", k.name, res.Status)
	}
	m.mu.Lock()
	m.objects[k] = map[string]map[string]any{}
	m.mu.Unlock()
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		v, err := decodeJSON(line)
		if err != nil {
			return err
		}
		event, _ := v.(map[string]any)
		object, _ := event["object"].(map[string]any)
		if event["type"] == "ERROR" || object == nil {
			return fmt.Errorf("watch %s: %s", k.name, line)
		}
		m.take(k, event["type"] == "DELETED", object)
	}
}

func (m *mirror) take(k *kind, gone bool, object map[string]any) {
	namespace, _ := at(object, "metadata.namespace").(string)
	name, _ := at(object, "metadata.name").(string)
	m.mu.Lock()
	if gone {
		delete(m.objects[k], namespace+"/"+name)
	} else {
		m.objects[k][namespace+"/"+name] = object
	}
	m.changed[namespace] = time.Now()
	m.mu.Unlock()
	if k.name == "pods" && !gone {
		m.onPod(object)
	}
}

// quietFor returns how long nothing has changed in a namespace.
func (m *mirror) quietFor(namespace string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.changed[namespace])
}

// await returns when there is what check looks for.
func (m *mirror) await(check func(*mirror) bool) error {
	return process.Poll(settlePatience, 20*time.Millisecond, func() error { return nil }, func() error {
		if !check(m) {
			return errors.New("it is not there")
		}
		return nil
	})
}

// in returns the objects of a kind in a namespace, each a copy.
func (m *mirror) in(resource, namespace string) []map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := followed[slices.IndexFunc(followed, func(k *kind) bool { return k.name == resource })]
	var list []map[string]any
	for key, object := range m.objects[k] {
		if strings.HasPrefix(key, namespace+"/") {
			list = append(list, copied(object))
		}
	}
	return list
}

func copied(object map[string]any) map[string]any {
	data, err := json.Marshal(object)
	if err != nil {
		panic(err) // it was read from JSON
	}
	v, err := decodeJSON(data)
	if err != nil {
		panic(err)
	}
	return v.(map[string]any)
}
