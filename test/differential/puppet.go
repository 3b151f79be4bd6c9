package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// puppet plays the node agents of a cluster: what it is told a pod does is told
// by the pod's annotations, so that both clusters see the same.
//
//	puppet/exit: "0"      the pod's containers end at once with this code
//	puppet/unready: "yes" the pod runs and is never ready
//	puppet/idle: "yes"    nothing happens to the pod
type puppet struct {
	server *server
	ctx    context.Context
	mu     sync.Mutex
	played map[string]string // the last act by pod's UID
}

// heartbeat is how often the nodes say that they live.
const heartbeat = 10 * time.Second

func (p *puppet) note(pod map[string]any) {
	act := p.act(pod)
	uid, _ := at(pod, "metadata.uid").(string)
	p.mu.Lock()
	done := p.played[uid] == act
	p.played[uid] = act
	p.mu.Unlock()
	if act == "" || done {
		return
	}
	go p.perform(act, pod)
}

// act is what is to be done about a pod.
func (p *puppet) act(pod map[string]any) string {
	notes, _ := at(pod, "metadata.annotations").(map[string]any)
	node, _ := at(pod, "spec.nodeName").(string)
	phase, _ := at(pod, "status.phase").(string)
	exit, ends := notes["puppet/exit"].(string)
	switch {
	case node == "" || notes["puppet/idle"] != nil:
		return ""
	case at(pod, "metadata.deletionTimestamp") != nil:
		return "delete"
	case ends && (phase == "Pending" || phase == "Running"):
		return "exit " + exit
	case phase == "Pending" && notes["puppet/unready"] != nil:
		return "run unready"
	case phase == "Pending":
		return "run"
	}
	return ""
}

func (p *puppet) perform(act string, pod map[string]any) {
	namespace, _ := at(pod, "metadata.namespace").(string)
	name, _ := at(pod, "metadata.name").(string)
	uid, _ := at(pod, "metadata.uid").(string)
	path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", namespace, name)
	if act == "delete" {
		p.do(http.MethodDelete, path, map[string]any{"gracePeriodSeconds": 0, "preconditions": map[string]any{"uid": uid}})
		return
	}
	p.do(http.MethodPatch, path+"/status", map[string]any{"metadata": map[string]any{"uid": uid}, "status": statusOf(act, pod)})
}

// do asks again while the server is busy: a lost act would look like a
// difference.
func (p *puppet) do(method, path string, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of texts
	}
	r := request{method: method, path: path, body: string(data), header: [][2]string{{"Content-Type", mediaOf(method, string(data))}}}
	for range 10 {
		if a := p.server.do(p.ctx, r); a.err == nil && a.code != http.StatusTooManyRequests && a.code < 500 {
			return
		}
	}
}

// statusOf is what a node agent says of a pod after an act.
func statusOf(act string, pod map[string]any) map[string]any {
	now := time.Now().UTC().Format(time.RFC3339)
	condition := func(kind, status, reason string) map[string]any {
		c := map[string]any{"type": kind, "status": status, "lastTransitionTime": now}
		if reason != "" {
			c["reason"] = reason
		}
		return c
	}
	ready, reason, phase := "True", "", "Running"
	state := map[string]any{"running": map[string]any{"startedAt": now}}
	if act == "run unready" {
		ready, reason = "False", "ContainersNotReady"
	}
	if code, ok := strings.CutPrefix(act, "exit "); ok {
		ready, reason, phase = "False", "PodCompleted", "Succeeded"
		why := "Completed"
		if code != "0" {
			phase, reason, why = "Failed", "PodFailed", "Error"
		}
		state = map[string]any{"terminated": map[string]any{"exitCode": json.Number(code), "reason": why, "startedAt": now, "finishedAt": now}}
	}
	conditions := []any{
		condition("PodReadyToStartContainers", "True", ""), condition("Initialized", "True", ""),
		condition("Ready", ready, reason), condition("ContainersReady", ready, reason), condition("PodScheduled", "True", ""),
	}
	conditions = append(conditions, others(pod)...)
	var containers []any
	list, _ := at(pod, "spec.containers").([]any)
	for _, c := range list {
		containers = append(containers, map[string]any{
			"name": at(c, "name"), "image": at(c, "image"), "imageID": "sha256:0", "ready": ready == "True",
			"started": phase == "Running", "restartCount": 0, "state": state,
		})
	}
	ip := "10.244.1." + fmt.Sprint(len(at(pod, "metadata.name").(string)))
	return map[string]any{
		"phase": phase, "conditions": conditions, "containerStatuses": containers, "startTime": now,
		"podIP": ip, "podIPs": []any{map[string]any{"ip": ip}}, "hostIP": "192.0.2.1", "hostIPs": []any{map[string]any{"ip": "192.0.2.1"}},
	}
}

// others are the conditions that are not the agent's.
func others(pod map[string]any) []any {
	var out []any
	list, _ := at(pod, "status.conditions").([]any)
	for _, c := range list {
		switch at(c, "type") {
		case "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled":
		default:
			out = append(out, c)
		}
	}
	return out
}

// node makes one that is ready.
func (p *puppet) node(name string, cpu int) {
	p.do(http.MethodPost, "/api/v1/nodes", map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
	})
	resources := map[string]any{"cpu": fmt.Sprint(cpu), "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
	p.do(http.MethodPatch, "/api/v1/nodes/"+name+"/status", map[string]any{"status": map[string]any{
		"capacity": resources, "allocatable": resources, "conditions": p.healthy(),
		"addresses": []any{map[string]any{"type": "InternalIP", "address": "192.0.2.1"}, map[string]any{"type": "Hostname", "address": name}},
	}})
	p.do(http.MethodPost, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", map[string]any{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro()},
	})
}

func micro() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

func (p *puppet) healthy() []any {
	now := time.Now().UTC().Format(time.RFC3339)
	var out []any
	for _, c := range [][3]string{
		{"MemoryPressure", "False", "KubeletHasSufficientMemory"}, {"DiskPressure", "False", "KubeletHasNoDiskPressure"},
		{"PIDPressure", "False", "KubeletHasSufficientPID"}, {"Ready", "True", "KubeletReady"},
	} {
		out = append(out, map[string]any{"type": c[0], "status": c[1], "reason": c[2], "lastHeartbeatTime": now, "lastTransitionTime": now})
	}
	return out
}

// beat renews the nodes' leases until ctx ends.
func (p *puppet) beat(nodes []string) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
			for _, name := range nodes {
				p.do(http.MethodPatch, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+name,
					map[string]any{"spec": map[string]any{"renewTime": micro()}})
			}
		}
	}
}
