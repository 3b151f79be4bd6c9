// Package source reads the module's own Go files, for the tests that hold its
// rules.
package source

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Module is the import path of this module.
const Module = "github.com/skiff-sh/skiff"

// File is one parsed Go file of the module.
type File struct {
	Path string // from the module's root, with slashes: "store/mem/mem.go"
	Dir  string // its package's folder: "store/mem"; "." is the root
	Test bool   // a _test.go file, or in a package named for tests
	Text []byte
	AST  *ast.File
	Set  *token.FileSet
}

// Line returns the line of a position.
func (f *File) Line(pos token.Pos) int { return f.Set.Position(pos).Line }

// Imports returns the import paths, and for each the name it has in the file.
func (f *File) Imports() map[string]string {
	imports := map[string]string{}
	for _, spec := range f.AST.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused such a file already
		}
		imports[p] = localName(p)
		if spec.Name != nil {
			imports[p] = spec.Name.Name
		}
	}
	return imports
}

// localName guesses the package name of an import path.
func localName(p string) string {
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(p))
	}
	return base
}

// Root finds the module's root from the working directory, which in a test is
// the package's folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find module: no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// Files parses all Go files under root, leaving out other modules, testdata,
// hidden folders and generated files.
func Files(root string) ([]*File, error) {
	var files []*File
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != root && skipped(name) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parse(set, root, name)
		if err == nil && !ast.IsGenerated(file.AST) {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read source files: %w", err)
	}
	return files, nil
}

func skipped(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func parse(set *token.FileSet, root, name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	tree, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	rel = filepath.ToSlash(rel)
	return &File{
		Path: rel, Dir: path.Dir(rel), Text: text, AST: tree, Set: set,
		Test: strings.HasSuffix(rel, "_test.go") || strings.HasSuffix(tree.Name.Name, "test"),
	}, nil
}

// Match tells whether a path from the module's root is covered by a pattern:
// "a/b" is the folder a/b alone, "a/..." is a and all below, "a/*/..." is all
// below a but not a itself, and "a/b.go" is one file.
func Match(pattern, name string) bool {
	dir := name
	if strings.HasSuffix(name, ".go") {
		if pattern == name {
			return true
		}
		dir = path.Dir(name)
	}
	if below, ok := strings.CutSuffix(pattern, "/*/..."); ok {
		return strings.HasPrefix(dir, below+"/")
	}
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == tree || strings.HasPrefix(dir, tree+"/")
	}
	return dir == pattern
}

// MatchAny is Match with any of several patterns.
func MatchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if Match(p, name) {
			return true
		}
	}
	return false
}
