package main

import (
	"net/http"
	"net/url"
	"strings"
)

// classify says in which cell of the table a hand-picked step counts: by its
// path and method as RBAC sees them, patches by their type.
func (s *step) classify() {
	if s.watch != "" && s.events > 0 {
		s.kind, s.verb = "-", "watch"
		return
	}
	path, query, _ := strings.Cut(s.path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = "."+parts[1], parts[3:]
	default:
		s.kind, s.verb = strings.Trim(parts[0], "/"), "document"
		return
	}
	if parts[0] == "namespaces" && len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
		parts = parts[2:]
	}
	s.kind = parts[0] + group
	if len(parts) > 2 {
		s.kind += "/" + parts[2]
	}
	q, err := url.ParseQuery(query)
	s.verb = verb(s, len(parts) > 1, err == nil && q.Has("watch"))
}

func verb(s *step, named, watch bool) string {
	switch s.method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "delcoll"
	case http.MethodPatch:
		return patchVerb(s.media())
	}
	switch {
	case watch || s.watch != "":
		return "watch"
	case named:
		return "get"
	}
	return "list"
}

func patchVerb(media string) string {
	switch {
	case strings.Contains(media, "apply"):
		return "apply"
	case strings.Contains(media, "strategic"):
		return "strategic"
	case strings.Contains(media, "json-patch"):
		return "jsonpatch"
	}
	return "merge"
}

// media is the Content-Type of the step's body.
func (s *step) media() string {
	for _, h := range s.header {
		if h[0] == "Content-Type" {
			return h[1]
		}
	}
	return mediaOf(s.method, s.body)
}
