package tidy

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"

	"github.com/skiff-sh/skiff/internal/source"
)

// The sizes beyond which code has to be on the list of outliers, in lines. The
// aim is lower: 35 for nine functions in ten, 80 to 300 for a file.
const (
	longFunction = 70
	longFile     = 500
)

// sizes returns what is too long, as "path" or "path:function" to lines. Tests
// are left out: tables are long.
func sizes(files []*source.File) map[string]int {
	long := map[string]int{}
	for _, f := range files {
		if f.Test {
			continue
		}
		if n := strings.Count(string(f.Text), "\n"); n > longFile {
			long[f.Path] = n
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if n := f.Line(fn.End()) - f.Line(fn.Pos()) + 1; n > longFunction {
				long[f.Path+":"+functionName(fn)] = n
			}
		}
	}
	return long
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	on := fn.Recv.List[0].Type
	for {
		switch t := on.(type) {
		case *ast.StarExpr:
			on = t.X
		case *ast.IndexExpr:
			on = t.X
		case *ast.IndexListExpr:
			on = t.X
		case *ast.Ident:
			return t.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}

// ratchet compares what is too long with the list: nothing new, nothing
// longer, nothing that has been mended.
func ratchet(long, list map[string]int) []string {
	var problems []string
	for name, n := range long {
		limit, listed := list[name]
		switch {
		case !listed:
			problems = append(problems, fmt.Sprintf("%s has %d lines: split it by what it does (functions above %d and files above %d lines are too long)", name, n, longFunction, longFile))
		case n > limit:
			problems = append(problems, fmt.Sprintf("%s has grown from %d to %d lines: the list of outliers only shrinks; move the new part out", name, limit, n))
		case n < limit:
			problems = append(problems, fmt.Sprintf("%s has shrunk from %d to %d lines, well done: run go test ./internal/tidy -update", name, limit, n))
		}
	}
	for name := range list {
		if long[name] == 0 {
			problems = append(problems, fmt.Sprintf("%s is no longer too long, well done: run go test ./internal/tidy -update", name))
		}
	}
	slices.Sort(problems)
	return problems
}

// decode reads a list of "lines name", one per line.
func decode(text string) (map[string]int, error) {
	list := map[string]int{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil || len(fields) != 2 {
			return nil, fmt.Errorf("read outliers: line %q: want lines and name", strings.TrimSpace(line))
		}
		list[fields[1]] = n
	}
	return list, nil
}

func encode(long map[string]int) string {
	names := make([]string, 0, len(long))
	for name := range long {
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	text.WriteString("# What is still too long: lines, file or file:function. This list only shrinks.\n# Written by: go test ./internal/tidy -update\n")
	for _, name := range names {
		fmt.Fprintf(&text, "%d %s\n", long[name], name)
	}
	return text.String()
}
