package main

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// story is what users do to a cluster with controllers, in chapters: after each
// of them both clusters settle, and all objects are compared.
type story struct {
	name     string
	chapters []scene
}

//go:embed stories/*.txt
var storyFiles embed.FS

// allStories reads stories/*.txt: scenes in the form of cases/*.txt, whose
// chapters end at lines "SETTLE", and at their end.
func allStories() ([]story, error) {
	files, err := fs.Glob(storyFiles, "stories/*.txt")
	if err != nil {
		return nil, err
	}
	var stories []story
	for _, file := range files {
		text, err := storyFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, part := range strings.Split("\n"+string(text), "\n== ")[1:] {
			title, body, _ := strings.Cut(part, "\n")
			s := story{}
			for _, chapter := range strings.Split(body, "\nSETTLE\n") {
				scenes, err := parse(strings.TrimSuffix(filepath.Base(file), ".txt"), "== "+title+"\n"+chapter)
				if err != nil {
					return nil, err
				}
				s.name, s.chapters = scenes[0].name, append(s.chapters, scenes[0])
			}
			stories = append(stories, s)
		}
	}
	return stories, nil
}

// side is one of the two clusters while stories are told.
type side struct {
	server *server
	mirror *mirror
	puppet *puppet
}

// nodes are those of both clusters, with their processors. They differ, so that
// a pod has one best place.
var nodes = map[string]int{"node-a": 8, "node-b": 7, "node-c": 6}

func (p *pair) sides(ctx context.Context) ([2]*side, error) {
	var out [2]*side
	for i, s := range []*server{p.upstream, p.skiff} {
		pu := &puppet{server: s, ctx: ctx, played: map[string]string{}}
		out[i] = &side{server: s, puppet: pu, mirror: newMirror(pu.note)}
		for _, k := range followed {
			go out[i].mirror.follow(ctx, s, k)
		}
		var names []string
		for name, cpu := range nodes {
			pu.node(name, cpu)
			names = append(names, name)
		}
		go pu.beat(names)
		if err := out[i].mirror.await(func(m *mirror) bool {
			free := 0
			for _, n := range m.in("nodes", "") {
				if at(n, "spec.taints") == nil && at(n, "status.conditions") != nil {
					free++
				}
			}
			return free == len(nodes)
		}); err != nil {
			return out, fmt.Errorf("wait for the nodes' taints to go: %w", err)
		}
	}
	return out, nil
}

// chapter is how one went.
type chapter struct {
	Story   string `json:"story"`
	Number  int    `json:"number"` // from 1
	Objects int    `json:"objects"`
	Agreed  int    `json:"agreed"`
	Diffs   []diff `json:"diffs,omitempty"`
}

// tell plays stories, so many at a time, and returns how their chapters went.
// Stories that are told again need another mark, as their namespaces remain.
func (p *pair) tell(ctx context.Context, stories []story, workers int, mark string, quiet time.Duration) ([]chapter, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sides, err := p.sides(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var all []chapter
	queue := make(chan story)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for s := range queue {
				got := tellOne(ctx, sides, s, mark, quiet)
				mu.Lock()
				all = append(all, got...)
				mu.Unlock()
			}
		})
	}
	for _, s := range stories {
		queue <- s
	}
	close(queue)
	wg.Wait()
	slices.SortFunc(all, func(a, b chapter) int {
		return strings.Compare(fmt.Sprint(a.Story, " ", a.Number), fmt.Sprint(b.Story, " ", b.Number))
	})
	return all, ctx.Err()
}

func tellOne(ctx context.Context, sides [2]*side, s story, mark string, quiet time.Duration) []chapter {
	namespace := strings.NewReplacer("/", "-", "_", "-").Replace(strings.ToLower(s.name)) + mark
	var players [2]*player
	for i, side := range sides {
		players[i] = newPlayer(ctx, side.server, namespace)
		side.server.do(ctx, request{method: http.MethodPost, path: "/api/v1/namespaces", body: `{"metadata":{"name":"` + namespace + `"}}`,
			header: [][2]string{{"Content-Type", "application/json"}}})
		// Pods are refused before their account is there: if that never comes, that
		// is what differs.
		_ = side.mirror.await(func(m *mirror) bool { return len(m.in("serviceaccounts", namespace)) > 0 })
	}
	var out []chapter
	for n, c := range s.chapters {
		got := chapter{Story: s.name, Number: n + 1}
		var states [2]map[string][]any
		var wg sync.WaitGroup
		for i := range sides {
			wg.Go(func() {
				refused := players[i].act(&c)
				sides[i].settle(ctx, namespace, quiet)
				states[i] = sides[i].state(namespace)
				states[i]["refusals"] = refused
			})
		}
		wg.Wait()
		got.compare(states[0], states[1])
		out = append(out, got)
	}
	return out
}

// act makes a chapter's requests and returns what was refused.
func (p *player) act(c *scene) []any {
	var refused []any
	for i := range c.steps {
		s := &c.steps[i]
		if s.method == http.MethodGet {
			continue
		}
		r, err := p.request(s)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		a := p.server.do(p.ctx, r)
		p.save(s, a)
		if a.err != nil || a.code >= 400 {
			refused = append(refused, fmt.Sprintf("%s: %d %s %v", s.label(), a.code, p.mask.text(string(a.body)), a.err))
		}
	}
	return refused
}

const (
	// soonQuiet is how long nothing has to change for a cluster to be settled:
	// longer than most delays of upstream's controllers. Now and then one of them
	// pauses for longer in the middle of a rollout: what differs is told again with
	// surelyQuiet.
	soonQuiet   = 6 * time.Second
	surelyQuiet = 20 * time.Second
	// settlePatience is how long that may take.
	settlePatience = 45 * time.Second
)

func (s *side) settle(ctx context.Context, namespace string, quiet time.Duration) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	end := time.After(settlePatience)
	time.Sleep(quiet) // what the last request leads to has to begin
	for s.mirror.quietFor(namespace) < quiet {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-tick.C:
		}
	}
}

// printStories writes how stories went: each, then what differs, the most
// frequent first.
func printStories(w io.Writer, all []chapter) {
	type group struct {
		diff
		count int
		first string
	}
	groups := map[string]*group{}
	objects, agreed := 0, 0
	for _, c := range all {
		objects, agreed = objects+c.Objects, agreed+c.Agreed
		fmt.Fprintf(w, "%-50s %2d  %3d of %3d objects agree\n", c.Story, c.Number, c.Agreed, c.Objects)
		for _, d := range c.Diffs {
			if groups[d.Cause] == nil {
				groups[d.Cause] = &group{diff: d, first: fmt.Sprintf("%s, chapter %d", c.Story, c.Number)}
			}
			groups[d.Cause].count++
		}
	}
	list := slices.SortedFunc(maps.Values(groups), func(a, b *group) int {
		return cmp.Or(b.count-a.count, strings.Compare(a.Cause, b.Cause))
	})
	for _, g := range list {
		fmt.Fprintf(w, "\n%d × %s\n    first: %s\n      upstream %.600s\n      Skiff    %.600s\n", g.count, g.Path, g.first, g.Upstream, g.Skiff)
	}
	fmt.Fprintf(w, "\n%d of %d objects agree (%.1f %%)\n", agreed, objects, 100*float64(agreed)/float64(max(objects, 1)))
}

// runStories tells those stories that the options select, and prints how they
// went.
func (p *pair) runStories(ctx context.Context, o *options) error {
	stories, err := allStories()
	if err != nil {
		return err
	}
	stories = slices.DeleteFunc(stories, func(s story) bool { return o.scene != nil && !o.scene.MatchString(s.name) })
	all, err := p.tell(ctx, stories, o.workers, "", soonQuiet)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	printStories(os.Stdout, all)
	return nil
}
