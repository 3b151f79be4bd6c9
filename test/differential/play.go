package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// player is one server's part in a scene.
type player struct {
	server *server
	vars   map[string]any
	mask   *masker
	opened map[string]*stream
	ctx    context.Context
}

// outcome is how the servers did in one step.
type outcome struct {
	scene      *scene
	number     int // of the step
	kind, verb string
	diffs      []diff
}

// play runs a scene on both servers and returns the outcomes of what counts.
// It ends where one server refuses what the other does: all after it would
// differ for that reason.
func (p *pair) play(ctx context.Context, c *scene, namespace string) []outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	players := [2]*player{newPlayer(ctx, p.upstream, namespace), newPlayer(ctx, p.skiff, namespace)}
	var outcomes []outcome
	for i := range c.steps {
		s := &c.steps[i]
		if s.edit != nil && players[0].vars[s.edit.of] == nil && players[1].vars[s.edit.of] == nil {
			continue // neither has what is to be edited
		}
		diffs, codes := ask(players, s)
		if s.mayLag() {
			for pause := 100 * time.Millisecond; len(diffs) > 0 && pause < 3*time.Second; pause *= 2 {
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
				diffs, codes = ask(players, s)
			}
		}
		if s.verb != "" {
			outcomes = append(outcomes, outcome{scene: c, number: i, kind: s.kind, verb: s.verb, diffs: diffs})
		}
		if s.method != http.MethodGet && (codes[0] < 400) != (codes[1] < 400) {
			break
		}
	}
	return outcomes
}

// ask takes a step on both servers, at the same time.
func ask(players [2]*player, s *step) ([]diff, [2]int) {
	var got [2]any
	var codes [2]int
	var wg sync.WaitGroup
	for side, pl := range players {
		wg.Go(func() { got[side], codes[side] = pl.take(s) })
	}
	wg.Wait()
	return compare(got[0], got[1]), codes
}

func newPlayer(ctx context.Context, s *server, namespace string) *player {
	return &player{server: s, vars: map[string]any{"ns": namespace}, mask: newMasker(), opened: map[string]*stream{}, ctx: ctx}
}

// take does a step and returns its normalised answer and code.
func (p *player) take(s *step) (any, int) {
	if s.watch != "" && s.events > 0 {
		return p.read(s), 0
	}
	r, err := p.request(s)
	if err != nil {
		return map[string]any{"error": err.Error()}, 0
	}
	if s.watch != "" {
		return p.open(s.watch, r), 0
	}
	answers := make([]answer, max(s.times, 1))
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = p.server.do(p.ctx, r) })
	}
	wg.Wait()
	if s.times > 1 {
		return p.together(answers), answers[0].code
	}
	p.save(s, answers[0])
	return p.normal(r, answers[0]), answers[0].code
}

// together is what simultaneous requests led to, in no order.
func (p *player) together(answers []answer) any {
	var texts []string
	for _, a := range answers {
		message := ""
		if v, err := decodeJSON(a.body); err == nil && a.code >= 400 {
			message, _ = at(v, "message").(string)
		}
		texts = append(texts, fmt.Sprintf("%d %s", a.code, p.mask.text(message)))
	}
	slices.Sort(texts)
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

var variable = regexp.MustCompile(`\$[a-z][a-z0-9]*`)

// fill replaces variables.
func (p *player) fill(text string) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		switch v := p.vars[name[1:]].(type) {
		case nil:
			return name
		case string:
			return v
		default:
			data, err := json.Marshal(v)
			if err != nil {
				return name
			}
			return string(data)
		}
	})
}

func (p *player) request(s *step) (request, error) {
	r := s.request
	r.path = p.fill(r.path)
	r.body = p.fill(r.body)
	if s.edit != nil {
		body, err := p.edited(s.edit)
		if err != nil {
			return r, err
		}
		r.body = body
	}
	p.mask.sent.WriteString(p.fill(s.path) + "\n" + p.fill(s.body) + "\n")
	r.header = nil
	media := false
	for _, h := range s.header {
		r.header = append(r.header, [2]string{h[0], p.fill(h[1])})
		media = media || h[0] == "Content-Type"
	}
	if !media && r.body != "" {
		r.header = append(r.header, [2]string{"Content-Type", mediaOf(r.method, r.body)})
	}
	return r, nil
}

// edited is a saved object after an edit. Only what the edit itself brings
// counts as sent.
func (p *player) edited(e *edit) (string, error) {
	object, err := json.Marshal(p.vars[e.of])
	if err != nil {
		return "", err
	}
	v, err := decodeJSON(object)
	if err != nil {
		return "", err
	}
	ops := p.fill(e.ops)
	if ops != "" {
		p.mask.sent.WriteString(ops + "\n")
		if v, err = applyOps(v, ops); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(v)
	return string(data), err
}

// save sets the step's variables. What the answer does not hold keeps its value.
func (p *player) save(s *step, a answer) {
	if len(s.save) == 0 || a.err != nil || a.code >= 300 {
		return
	}
	v, err := decodeJSON(a.body)
	if err != nil {
		return
	}
	for _, save := range s.save {
		if found := at(v, save[1]); found != nil && !(save[1] == "." && at(v, "kind") == "Status") {
			p.vars[save[0]] = found
		}
	}
}

// headers are those that a client may depend on.
var headers = []string{"Content-Type", "Warning", "Cache-Control", "Retry-After", "Location", "Allow", "Www-Authenticate", "X-Content-Type-Options", "Content-Encoding", "Vary"}

// normal is an answer in the form that is compared.
func (p *player) normal(r request, a answer) any {
	if a.err != nil {
		return map[string]any{"error": "no answer: " + strings.ReplaceAll(a.err.Error(), p.server.url, "")}
	}
	head := map[string]any{}
	for _, name := range headers {
		var values []any
		for _, v := range a.header.Values(name) {
			values = append(values, p.mask.text(v))
		}
		if values != nil {
			head[name] = values
		}
	}
	return map[string]any{"code": json.Number(fmt.Sprint(a.code)), "header": head, "body": p.mask.answer(decodeBody(r, a))}
}

// stream is an open watch, whose events a goroutine reads.
type stream struct {
	events chan any
}

// open begins a watch; it ends with the scene.
func (p *player) open(name string, r request) any {
	res, err := p.server.open(p.ctx, r)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		return map[string]any{"code": json.Number(fmt.Sprint(res.StatusCode))}
	}
	s := &stream{events: make(chan any, 1000)}
	p.opened[name] = s
	go func() {
		defer close(s.events)
		defer res.Body.Close()
		lines := bufio.NewReader(res.Body)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			if v, err := decodeJSON(line); err == nil {
				s.events <- v
			}
		}
	}()
	return map[string]any{"code": json.Number("200"), "Content-Type": res.Header.Get("Content-Type")}
}

// eventPatience is how long an event may take, also on a machine that is busy.
const eventPatience = patience

// read takes events from a watch.
func (p *player) read(s *step) any {
	w := p.opened[s.watch]
	if w == nil {
		return map[string]any{"error": "the watch is not open"}
	}
	out := []any{}
	for range s.events {
		select {
		case e, ok := <-w.events:
			if !ok {
				return append(out, "the watch has ended")
			}
			out = append(out, p.mask.answer(e))
		case <-time.After(eventPatience):
			return append(out, "no event")
		}
	}
	return out
}
