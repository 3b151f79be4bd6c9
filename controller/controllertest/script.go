// Package controllertest tests controllers by text scripts: a cluster in
// memory, the real queue and wake-ups, virtual time. A script is a list of
// commands, each with its input, then "----" and what it printed; an empty line
// ends it. Run the test with -rewrite to write what is printed now, and review.
//
//	apply                 the YAML documents that follow, status and all
//	delete KIND NS/NAME   remove an object at once
//	settle                run the controllers until nothing is left to do
//	advance DURATION      let time pass, then settle
//	kubelet               act as every node: pods bound and ready, deleted ones gone
//	exit pods NS/PREFIX N act as the node: the pods so named that run exit with N, then settle
//	fail                  act as every node: pods that are not over fail
//	do KIND NS/NAME       delete as a user does; a third word is the propagation policy
//	show KIND NS/NAME     print an object; a third word picks a field: status
//	list KIND             print the keys of a kind
//
// KIND is a resource name, as "replicasets".
package controllertest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/controller"
)

var rewrite = flag.Bool("rewrite", false, "write what scripts print now")

// Script runs every script that matches pattern, each in a world of its own.
func Script(t *testing.T, pattern string, controllers func() []controller.Controller) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("scripts %q: none found (%v)", pattern, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			run(t, path, controllers())
		})
	}
}

func run(t *testing.T, path string, controllers []controller.Controller) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWorld(t, controllers...)
	var out strings.Builder
	for _, b := range parse(string(data)) {
		if b.command == "" {
			out.WriteString(b.text)
			continue
		}
		got := w.command(b.command, b.input)
		out.WriteString(b.command + "\n" + b.input + "----\n" + got)
		if !*rewrite && got != b.output {
			t.Errorf("%s:%d: %s\ngot:\n%s\nwant:\n%s", path, b.line, b.command, got, b.output)
		}
		out.WriteString("\n")
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// block is one command of a script, or text between commands.
type block struct {
	line                   int
	text                   string
	command, input, output string
}

func parse(script string) []block {
	var blocks []block
	lines := strings.SplitAfter(script, "\n")
	for i := 0; i < len(lines); i++ {
		if strings.TrimSpace(lines[i]) == "" {
			continue
		}
		if strings.HasPrefix(lines[i], "#") {
			blocks = append(blocks, block{text: lines[i]})
			continue
		}
		b := block{line: i + 1, command: strings.TrimSpace(lines[i])}
		for i++; i < len(lines) && lines[i] != "----\n"; i++ {
			b.input += lines[i]
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != ""; i++ {
			b.output += lines[i]
		}
		blocks = append(blocks, b)
	}
	return blocks
}
