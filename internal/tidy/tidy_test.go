package tidy

import (
	"flag"
	"go/parser"
	"go/token"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/internal/source"
)

var update = flag.Bool("update", false, "write testdata/outliers.txt anew")

const outliers = "testdata/outliers.txt"

func files(t *testing.T) []*source.File {
	t.Helper()
	root, err := source.Root()
	if err != nil {
		t.Fatal(err)
	}
	all, err := source.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFiles(t *testing.T) {
	all := files(t)
	for name, check := range checks() {
		t.Run(name, func(t *testing.T) {
			for _, f := range all {
				for _, problem := range check(f) {
					t.Error(problem)
				}
			}
		})
	}
	t.Run("package comments", func(t *testing.T) {
		for _, problem := range undocumented(all) {
			t.Error(problem)
		}
	})
}

// TestSizes holds long functions and files on a list that only shrinks.
func TestSizes(t *testing.T) {
	long := sizes(files(t))
	if *update {
		if err := os.WriteFile(outliers, []byte(encode(long)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(outliers)
	if err != nil {
		t.Fatal(err)
	}
	list, err := decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range ratchet(long, list) {
		t.Error(problem)
	}
}

func parse(t *testing.T, name, text string) *source.File {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return &source.File{Path: name, Dir: path.Dir(name), Text: []byte(text), AST: tree, Set: set}
}

// TestChecksBite gives each check something to find, and something to leave.
func TestChecksBite(t *testing.T) {
	for _, test := range []struct{ check, file, text, says string }{
		{"gofmt", "a/a.go", "package  a\n", "gofmt -w"},
		{"gofmt", "a/a.go", "package a\n", ""},
		{"names", "a/util/a.go", "package util\n", "name the package"},
		{"names", "a/a.go", "package common\n", "name the package"},
		{"names", "utility/a.go", "package utility\n", ""},
		{"init", "a/a.go", "package a\nfunc init() {}\n", "initial value"},
		{"init", "a/a.go", "package a\ntype t int\nfunc (t) init() {}\n", ""},
		{"words", "a/a.go", "package a\nvar _ = fmt.Errorf(\"failed to do: %w\", err)\n", "verb and noun"},
		{"words", "a/a.go", "package a\nvar _ = errors.New(\"Failed to do\")\n", "verb and noun"},
		{"words", "a/a.go", "package a\nvar _ = fmt.Errorf(\"failed to parse\") // upstream's words\n", ""},
		{"words", "a/a.go", "package a\n\n// f has upstream's\n// words.\nfunc f() { _ = fmt.Errorf(\"failed to parse\") }\n", ""},
		{"words", "resource/a.go", "package a\nvar _ = fmt.Errorf(\"failed to parse\")\n", ""},
		{"paths", "a/a.go", "package a\nvar _ = \"/root" + "/x\"\n", "temporary directory"},
		{"paths", "a/a.go", "package a\nvar _ = \"/rootfs/x\"\n", ""},
		{"words", "a/a.go", "package a\nvar _ = fmt.Errorf(\"list pods: %w\", err)\n", ""},
	} {
		found := strings.Join(checks()[test.check](parse(t, test.file, test.text)), "\n")
		if test.says == "" && found != "" || !strings.Contains(found, test.says) {
			t.Errorf("%s of %q: %q, should say %q", test.check, test.text, found, test.says)
		}
	}
	if found := undocumented([]*source.File{parse(t, "a/a.go", "package a\n"), parse(t, "a/b.go", "// Package a is.\npackage a\n")}); len(found) != 0 {
		t.Errorf("a documented package: %q", found)
	}
	if found := undocumented([]*source.File{parse(t, "a/a.go", "package a\n")}); len(found) != 1 {
		t.Errorf("an undocumented package: %q", found)
	}
}

func TestRatchet(t *testing.T) {
	body := strings.Repeat("\tx++\n", 80)
	long := sizes([]*source.File{
		parse(t, "a/a.go", "package a\nfunc f() {\n"+body+"}\nfunc (t *T[K]) g() {\n"+body+"}\nfunc h() {}\n"),
		parse(t, "a/b.go", "package a\n"+strings.Repeat("\n", 500)),
	})
	if len(long) != 3 || long["a/a.go:f"] != 82 || long["a/a.go:T.g"] != 82 || long["a/b.go"] != 501 {
		t.Errorf("sizes: %v", long)
	}
	list, err := decode(encode(long))
	if err != nil || len(ratchet(long, list)) != 0 {
		t.Errorf("written and read again: %v, %v", ratchet(long, list), err)
	}
	for name, wrong := range map[string]map[string]int{
		"split it": {"a/a.go:f": 82, "a/b.go": 501},
		"grown":    {"a/a.go:f": 81, "a/a.go:T.g": 82, "a/b.go": 501},
		"shrunk":   {"a/a.go:f": 83, "a/a.go:T.g": 82, "a/b.go": 501},
		"-update":  {"a/a.go:f": 82, "a/a.go:T.g": 82, "a/b.go": 501, "a/c.go": 700},
	} {
		if found := ratchet(long, wrong); len(found) != 1 || !strings.Contains(found[0], name) {
			t.Errorf("%v: %q, should say %q", wrong, found, name)
		}
	}
}
