// Package tidy holds the rules of STYLE.md that a program can check. Each
// message says how to mend what it found.
package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/skiff-sh/skiff/internal/source"
)

// check looks at one file and returns what is wrong with it.
type check func(f *source.File) []string

func checks() map[string]check {
	return map[string]check{
		"gofmt": formatted,
		"names": names,
		"init":  noInit,
		"words": words,
		"paths": paths,
	}
}

func formatted(f *source.File) []string {
	want, err := format.Source(f.Text)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", f.Path, err)}
	}
	if !bytes.Equal(want, f.Text) {
		return []string{fmt.Sprintf("%s is not formatted: run gofmt -w %s", f.Path, f.Path)}
	}
	return nil
}

// names refuses package names that say nothing about what is inside.
func names(f *source.File) []string {
	vague := []string{"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "base", "lib"}
	for _, part := range append(strings.Split(f.Dir, "/"), f.AST.Name.Name) {
		if slices.Contains(vague, part) {
			return []string{fmt.Sprintf("%s: %q says nothing: name the package by the thing it is about", f.Path, part)}
		}
	}
	return nil
}

func noInit(f *source.File) []string {
	var list []string
	for _, d := range f.AST.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			list = append(list, fmt.Sprintf("%s:%d has func init: do it in a function that the caller calls, or in a variable's initial value", f.Path, f.Line(fn.Pos())))
		}
	}
	return list
}

// paths refuses paths of the machine that the code was written on.
func paths(f *source.File) []string {
	for i, line := range strings.Split(string(f.Text), "\n") {
		for _, place := range []string{"/work" + "/", "/root" + "/"} {
			if strings.Contains(line, place) {
				return []string{fmt.Sprintf("%s:%d names %s, which other machines do not have: take the path as an argument, or use a temporary directory", f.Path, i+1, place)}
			}
		}
	}
	return nil
}

// words refuses error texts that begin with how it felt instead of what was
// done: wrapped a few times they read "failed to a: failed to b: failed to c".
// Texts that the Kubernetes API prescribes are in resource, or carry the
// comment "upstream's words".
func words(f *source.File) []string {
	if f.Test || source.Match("resource/...", f.Path) {
		return nil
	}
	var list []string
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		fn, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || fn.Sel.Name != "Errorf" && !isErrorsNew(fn) {
			return true
		}
		text := literal(call.Args[0])
		for _, word := range []string{"failed to ", "error while ", "an error "} {
			if strings.HasPrefix(strings.ToLower(text), word) && !excused(f, call.Pos()) {
				list = append(list, fmt.Sprintf("%s:%d: error begins with %q: say verb and noun (\"list pods: %%w\"), or say in a comment of the function that these are upstream's words", f.Path, f.Line(call.Pos()), word))
			}
		}
		return true
	})
	return list
}

func isErrorsNew(fn *ast.SelectorExpr) bool {
	pkg, ok := fn.X.(*ast.Ident)
	return ok && pkg.Name == "errors" && fn.Sel.Name == "New"
}

func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

// excused tells whether a comment within the same declaration, or above it,
// says that the words are upstream's.
func excused(f *source.File, pos token.Pos) bool {
	for _, d := range f.AST.Decls {
		from := d.Pos()
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Doc != nil {
			from = fn.Doc.Pos()
		}
		if pos < d.Pos() || pos >= d.End() {
			continue
		}
		for _, group := range f.AST.Comments {
			// A comment at the end of the declaration's last line counts too.
			within := group.Pos() >= from && f.Line(group.Pos()) <= f.Line(d.End())
			if within && strings.Contains(strings.Join(strings.Fields(group.Text()), " "), "upstream's words") {
				return true
			}
		}
	}
	return false
}

// undocumented returns the packages without a package comment, one message
// each.
func undocumented(files []*source.File) []string {
	documented := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f.Path, "_test.go") {
			continue
		}
		documented[f.Dir] = documented[f.Dir] || strings.TrimSpace(f.AST.Doc.Text()) != ""
	}
	var list []string
	for dir, ok := range documented {
		if !ok {
			list = append(list, fmt.Sprintf("%s has no package comment: say in one sentence above \"package %s\" what it is for", dir, path.Base(dir)))
		}
	}
	slices.Sort(list)
	return list
}
