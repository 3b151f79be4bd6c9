package server

import (
	"strings"
	"testing"
)

func TestAccesses(t *testing.T) {
	for request, want := range map[string]string{
		"GET /healthz":              "get nodes/healthz a, get nodes/proxy a",
		"GET /healthz/ping":         "get nodes/healthz a, get nodes/proxy a",
		"GET /healthzz":             "get nodes/proxy a",
		"GET /pods":                 "get nodes/pods a, get nodes/proxy a",
		"GET /runningpods/":         "get nodes/pods a, get nodes/proxy a",
		"GET /configz":              "get nodes/configz a, get nodes/proxy a",
		"GET /flagz":                "get nodes/configz a",
		"GET /metrics":              "get nodes/metrics a",
		"GET /metrics/cadvisor":     "get nodes/metrics a",
		"GET /stats/summary":        "get nodes/stats a",
		"GET /logs/":                "get nodes/log a",
		"POST /checkpoint/ns/p/c":   "create nodes/checkpoint a",
		"GET /containerLogs/ns/p/c": "get nodes/proxy a",
		"POST /exec/ns/p/c":         "create nodes/proxy a",
		"PUT /exec/ns/p/c":          "update nodes/proxy a",
		"PATCH /run/ns/p/c":         "patch nodes/proxy a",
		"DELETE /portForward/ns/p":  "delete nodes/proxy a",
		"HEAD /metric":              " nodes/proxy a",
	} {
		method, path, _ := strings.Cut(request, " ")
		var list []string
		for _, a := range accesses(method, path, "a") {
			list = append(list, a.Verb+" "+a.Resource+"/"+a.Subresource+" "+a.Name)
			if a.Version != "v1" || a.Group != "" || a.Namespace != "" {
				t.Errorf("%s: asks for %+v", request, a)
			}
		}
		if got := strings.Join(list, ", "); got != want {
			t.Errorf("%s: needs %q, want %q", request, got, want)
		}
	}
}
