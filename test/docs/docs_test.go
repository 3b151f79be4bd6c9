// Package docs holds the documents to the code: what they name exists.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestInvariants: each invariant in ARCHITECTURE.md names tests that exist.
func TestInvariants(t *testing.T) {
	_, text, found := strings.Cut(read(t, "ARCHITECTURE.md"), "## Invariants")
	if !found {
		t.Fatal("ARCHITECTURE.md has no section \"Invariants\"")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	tests := declared(t)
	for _, item := range strings.Split(text, "\n- ")[1:] {
		names := regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(item, -1)
		if len(names) == 0 || !strings.HasPrefix(item, "**") {
			t.Errorf("an invariant starts in bold and names its test: %s", item)
		}
		for _, name := range names {
			if !tests[strings.TrimSuffix(name, "_")] {
				t.Errorf("there is no test %s: name the one that holds this:\n%s", name, item)
			}
		}
	}
}

// declared are the names of all tests.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range declaration.FindAllStringSubmatch(string(data), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestCodeMap: the folders that ARCHITECTURE.md maps are those there are.
func TestCodeMap(t *testing.T) {
	text := read(t, "ARCHITECTURE.md")
	mapped := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+)/` \\|").FindAllStringSubmatch(text, -1) {
		mapped[m[1]] = true
		if info, err := os.Stat(filepath.Join(root, m[1])); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md maps %s/, which is not there: take it out", m[1])
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && e.Name() != "docs" && !mapped[e.Name()] {
			t.Errorf("ARCHITECTURE.md does not say what is in %s/: add a line to its code map", e.Name())
		}
	}
}

// TestDependencies: docs/dependencies.md has a reason for each direct
// dependency. A line may name several: by full path, or by last element.
func TestDependencies(t *testing.T) {
	text := read(t, "docs/dependencies.md")
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		path := regexp.MustCompile(`/v\d+$`).ReplaceAllString(m[1], "")
		if last := path[strings.LastIndex(path, "/")+1:]; !strings.Contains(text, last) {
			t.Errorf("docs/dependencies.md does not say why %s is there: add a line", m[1])
		}
	}
}

// TestStyle: each rule says who holds it.
func TestStyle(t *testing.T) {
	for _, item := range strings.Split(read(t, "STYLE.md"), "\n- ")[1:] {
		rule, _, _ := strings.Cut(item, "\n\n")
		rule = strings.Join(strings.Fields(rule), " ")
		if !regexp.MustCompile(`\((test|ratchet|judgement)\b[^)]*\)$`).MatchString(rule) {
			t.Errorf("end the rule with (test), (ratchet) or (judgement): %s", rule)
		}
	}
}

// TestLinks: links between documents lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".md") {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
