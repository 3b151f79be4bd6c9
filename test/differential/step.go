package main

import (
	"bufio"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// scene is a sequence of requests in a namespace of its own, and of watches
// beside them.
type scene struct {
	name  string
	steps []step
}

// step is one request to both servers. Its path, headers and body may hold
// variables, "$name", which each server's answers have set.
type step struct {
	kind, verb string // the cell of the table that it counts in; "" = not counted
	request
	// edit changes a saved object, which then is the body.
	edit *edit
	// save sets variables from the answer: name to path, "." being all of it.
	save [][2]string
	// watch names a watch that this step opens or, with events > 0, reads from.
	watch  string
	events int
	// times is how often the request is made, at the same time.
	times int
}

// edit is a saved object and what to change in it, as a JSON patch that is
// lenient: what is missing on the way is made.
type edit struct {
	of  string
	ops string // JSON
}

// label is the request line.
func (s *step) label() string {
	switch {
	case s.watch != "" && s.events > 0:
		return fmt.Sprintf("READ %s %d", s.watch, s.events)
	case s.watch != "":
		return fmt.Sprintf("OPEN %s %s", s.watch, s.path)
	}
	return s.method + " " + s.path
}

// mayLag tells whether a server may answer the step from a cache that has not
// seen all yet, or end a watch before it has sent all. Asked again, it will have.
func (s *step) mayLag() bool {
	_, query, _ := strings.Cut(s.path, "?")
	return s.method == http.MethodGet && s.watch == "" && (strings.Contains(query, "resourceVersion=") || strings.Contains(query, "watch="))
}

// String is the step in the form that parse reads.
func (s *step) String() string {
	var out strings.Builder
	if s.times > 1 {
		fmt.Fprintf(&out, "%d * ", s.times)
	}
	fmt.Fprintln(&out, s.label())
	if s.user != admin {
		fmt.Fprintf(&out, "As: %s\n", s.user)
	}
	for _, h := range s.header {
		fmt.Fprintf(&out, "%s: %s\n", h[0], h[1])
	}
	if s.edit != nil {
		fmt.Fprintf(&out, "Edit: %s %s\n", s.edit.of, s.edit.ops)
	}
	for line := range strings.Lines(s.body) {
		fmt.Fprintf(&out, "| %s\n", strings.TrimSuffix(line, "\n"))
	}
	for _, v := range s.save {
		fmt.Fprintf(&out, "> %s %s\n", v[0], v[1])
	}
	return out.String()
}

// parse reads the scenes of a text file:
//
//	== name of a scene
//	# a comment
//	METHOD /path        or  N * METHOD /path, OPEN name /path, READ name N
//	Header: value       or  As: user:group, Edit: variable [json patch]
//	| body
//	> variable path
func parse(file, text string) ([]scene, error) {
	var scenes []scene
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "== "); ok {
			scenes = append(scenes, scene{name: file + "/" + strings.ReplaceAll(name, " ", "-")})
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(scenes) == 0 {
			return nil, fmt.Errorf("%s:%d: a step before the first scene", file, n)
		}
		if err := scenes[len(scenes)-1].read(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	return scenes, lines.Err()
}

var (
	requestLine = regexp.MustCompile(`^(?:(\d+) \* )?(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|OPEN|READ) (.*)$`)
	headerLine  = regexp.MustCompile(`^([A-Za-z-]+): ?(.*)$`)
)

// read adds a line of the text.
func (c *scene) read(line string) error {
	if m := requestLine.FindStringSubmatch(line); m != nil {
		return c.begin(m[1], m[2], m[3])
	}
	if len(c.steps) == 0 {
		return fmt.Errorf("%q comes before the first request", line)
	}
	s := &c.steps[len(c.steps)-1]
	if text, ok := strings.CutPrefix(line, "|"); ok {
		if s.body != "" {
			s.body += "\n"
		}
		s.body += strings.TrimPrefix(text, " ")
		return nil
	}
	if text, ok := strings.CutPrefix(line, "> "); ok {
		name, path, ok := strings.Cut(text, " ")
		if !ok {
			return fmt.Errorf("%q has no path", line)
		}
		s.save = append(s.save, [2]string{name, path})
		return nil
	}
	m := headerLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("cannot read %q", line)
	}
	switch m[1] {
	case "As":
		s.user = m[2]
	case "Edit":
		of, ops, _ := strings.Cut(m[2], " ")
		s.edit = &edit{of, ops}
	default:
		s.header = append(s.header, [2]string{m[1], m[2]})
	}
	return nil
}

// begin adds a step by its first line.
func (c *scene) begin(times, method, rest string) error {
	s := step{request: request{method: method, path: rest}}
	if times != "" {
		fmt.Sscan(times, &s.times)
	}
	switch method {
	case "OPEN":
		name, path, ok := strings.Cut(rest, " ")
		if !ok {
			return fmt.Errorf("OPEN %s: want a name and a path", rest)
		}
		s.method, s.path, s.watch = http.MethodGet, path, name
	case "READ":
		if _, err := fmt.Sscanf(rest, "%s %d", &s.watch, &s.events); err != nil {
			return fmt.Errorf("READ %s: want a name and a number: %w", rest, err)
		}
	}
	c.steps = append(c.steps, s)
	return nil
}

// mediaOf is the Content-Type that a body has where the step names none.
func mediaOf(method, body string) string {
	switch {
	case method == http.MethodPatch:
		return "application/merge-patch+json"
	case strings.HasPrefix(strings.TrimSpace(body), "{"):
		return "application/json"
	}
	return "application/yaml"
}
