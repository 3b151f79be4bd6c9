package source

import "testing"

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"store", "store", true},
		{"store", "store/mem", false},
		{"store", "store/store.go", true},
		{"store/...", "store", true},
		{"store/...", "store/mem/mem.go", true},
		{"store/...", "storefront", false},
		{"store/*/...", "store", false},
		{"store/*/...", "store/store.go", false},
		{"store/*/...", "store/mem/mem.go", true},
		{"dns/answer.go", "dns/answer.go", true},
		{"dns/answer.go", "dns/serve.go", false},
	} {
		if got := Match(test.pattern, test.name); got != test.want {
			t.Errorf("Match(%q, %q) is %v", test.pattern, test.name, got)
		}
	}
}

func TestFiles(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Path == "internal/source/source_test.go" {
			if !f.Test || f.Dir != "internal/source" || f.Imports()["testing"] != "testing" {
				t.Errorf("this file: %+v", f)
			}
			return
		}
	}
	t.Error("this file was not found")
}
