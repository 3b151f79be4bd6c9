// Differential holds Skiff's API server against upstream's: it starts both, asks
// both the same, and prints where the answers differ. See README.md.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

// options narrow a run.
type options struct {
	first, last int // seeds; none if last < first
	kind, verb  *regexp.Regexp
	scene       *regexp.Regexp
	workers     int
	show        bool // print the scenes instead of a report
	json        bool
	ignore      *regexp.Regexp
	causes      int
	picked      bool   // play the hand-picked scenes
	stories     bool   // tell stories instead of playing scenes
	schemas     string // collect upstream's schemas into this file instead
	bench       string // the folder of the module bench
}

// flags reads the command line.
func flags() (*options, error) {
	o := &options{bench: "../../bench"}
	seeds := flag.String("seeds", "1..20", "seeds of generated scenes, FIRST..LAST or one; 0 = none")
	kind := flag.String("kind", "", "only kinds that this regular expression matches, such as ^pods$ or deployments.apps")
	verb := flag.String("verb", "", "count only verbs that this regular expression matches")
	scene := flag.String("case", "", "only scenes whose name this regular expression matches, such as ^gen/pods/17$ or ^list/")
	ignore := flag.String("ignore", "", "take no account of causes that this regular expression matches")
	flag.BoolVar(&o.show, "print", false, "print the scenes, in the form of cases/*.txt, instead of a report")
	flag.BoolVar(&o.json, "json", false, "print the report as JSON")
	flag.BoolVar(&o.picked, "picked", true, "play the hand-picked scenes too")
	flag.BoolVar(&o.stories, "stories", false, "run controllers and schedulers beside both servers, and compare what they make of the stories in stories/")
	flag.IntVar(&o.causes, "causes", 40, "how many causes of differences to print; 0 = all")
	flag.IntVar(&o.workers, "workers", 4, "how many scenes to play at a time")
	flag.StringVar(&o.schemas, "schemas", "", "write the schemas that upstream serves to this file, and do nothing else")
	flag.Parse()
	if o.causes == 0 {
		o.causes = -1
	}
	if err := o.readSeeds(*seeds); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		into **regexp.Regexp
		text string
	}{{&o.kind, *kind}, {&o.verb, *verb}, {&o.scene, *scene}, {&o.ignore, *ignore}} {
		if f.text == "" {
			continue
		}
		var err error
		if *f.into, err = regexp.Compile(f.text); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (o *options) readSeeds(text string) error {
	first, last, isRange := strings.Cut(text, "..")
	if !isRange {
		last = first
	}
	if text == "0" || text == "" {
		o.first, o.last = 1, 0
		return nil
	}
	_, err1 := fmt.Sscan(first, &o.first)
	_, err2 := fmt.Sscan(last, &o.last)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("-seeds %q: want 1..200 or 17: %w", text, err)
	}
	return nil
}

func run() error {
	o, err := flags()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	p, err := startPair(ctx, o.bench, o.stories)
	if err != nil {
		return err
	}
	defer p.stop()
	if o.schemas != "" {
		return p.upstream.collect(ctx, o.schemas)
	}
	if o.stories {
		return p.runStories(ctx, o)
	}
	r, err := p.examine(ctx, o)
	if err != nil {
		return err
	}
	if o.json {
		return r.printJSON(os.Stdout)
	}
	if !o.show {
		r.print(os.Stdout, o.causes)
	}
	return nil
}

//go:embed cases/*.txt
var cases embed.FS

// pickedScenes are those of the text files.
func pickedScenes() ([]scene, error) {
	var all []scene
	err := fs.WalkDir(cases, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := cases.ReadFile(path)
		if err != nil {
			return err
		}
		scenes, err := parse(strings.TrimSuffix(d.Name(), ".txt"), string(text))
		all = append(all, scenes...)
		return err
	})
	for i := range all {
		for j := range all[i].steps {
			all[i].steps[j].classify()
		}
		all[i].steps = append(slices.Clone(preparation), all[i].steps...)
	}
	return all, err
}

// examine plays all scenes that the options choose.
func (p *pair) examine(ctx context.Context, o *options) (*report, error) {
	var ignore func(string) bool
	if o.ignore != nil {
		ignore = o.ignore.MatchString
	}
	r := newReport(ignore)
	var scenes []scene
	if o.picked {
		picked, err := pickedScenes()
		if err != nil {
			return nil, err
		}
		scenes = picked
	}
	alone := len(scenes)
	if o.last >= o.first {
		kinds, missing, err := p.discover(ctx)
		if err != nil {
			return nil, err
		}
		r.Missing = missing
		generated, serial := p.generate(kinds, o)
		scenes = append(scenes, generated...)
		alone = len(scenes)
		scenes = append(scenes, serial...)
	}
	p.playAll(ctx, o, scenes[:alone], o.workers, r)
	p.playAll(ctx, o, scenes[alone:], 1, r) // they change what others see
	return r, errors.Join(ctx.Err(), p.peer.Died(), p.skiffDied())
}

// playAll plays scenes, some at a time, and adds what they show.
func (p *pair) playAll(ctx context.Context, o *options, scenes []scene, workers int, r *report) {
	turns := make(chan *scene)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for c := range turns {
				if ctx.Err() != nil {
					continue
				}
				outcomes := p.play(ctx, c, namespaceOf(c.name))
				mu.Lock()
				r.add(o.counted(outcomes))
				mu.Unlock()
			}
		})
	}
	for i := range scenes {
		c := &scenes[i]
		if o.scene != nil && !o.scene.MatchString(c.name) {
			continue
		}
		if o.show {
			fmt.Printf("== %s\n", c.name)
			for _, s := range c.steps {
				fmt.Println(s.String())
			}
		}
		turns <- c
	}
	close(turns)
	wg.Wait()
}

// counted are the outcomes of the kinds and verbs that are asked for.
func (o *options) counted(outcomes []outcome) []outcome {
	var out []outcome
	for _, c := range outcomes {
		if (o.kind == nil || o.kind.MatchString(c.kind)) && (o.verb == nil || o.verb.MatchString(c.verb)) {
			out = append(out, c)
		}
	}
	return out
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// namespaceOf is the namespace that a scene has for itself.
func namespaceOf(scene string) string {
	name := strings.Trim(notName.ReplaceAllString(strings.ToLower(strings.TrimPrefix(scene, "gen/")), "-"), "-")
	if len(name) > 50 {
		name = strings.Trim(name[:50], "-")
	}
	return name
}
