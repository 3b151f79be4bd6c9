package deps

import (
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/internal/source"
)

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

// TestImports checks every file against every rule.
func TestImports(t *testing.T) {
	list := rules()
	for _, f := range files(t) {
		for i := range list {
			for _, problem := range list[i].problems(f) {
				t.Error(problem)
			}
		}
	}
}

// TestPure checks that what decides has no clock, network, file, lock, log or
// global random source.
func TestPure(t *testing.T) {
	for _, f := range files(t) {
		problems := impurities(f)
		if slices.Contains(known(), f.Path) {
			if len(problems) == 0 {
				t.Errorf("%s has become pure: take it off the list of known", f.Path)
			}
			continue
		}
		for _, problem := range problems {
			t.Error(problem)
		}
	}
}

func parse(t *testing.T, name, text string) *source.File {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, name, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &source.File{Path: name, Dir: path.Dir(name), AST: tree, Set: set, Test: strings.HasSuffix(name, "_test.go")}
}

// TestRulesBite gives each rule something to find, and something to leave.
func TestRulesBite(t *testing.T) {
	const own = source.Module + "/"
	for _, test := range []struct {
		file, imports string
		says          string // "" = nothing
	}{
		{"controller/pod/reconcile.go", own + "store", "only the API server opens the store"},
		{"controller/pod/reconcile_test.go", own + "store/mem", ""},
		{"apiserver/get.go", own + "store", ""},
		{"apiserver/get.go", own + "store/etcd", "works on any store"},
		{"cluster/up.go", own + "store/etcd", ""},
		{"cluster/up.go", "go.etcd.io/etcd/client/v3", "one implementation"},
		{"store/etcd/etcd.go", "go.etcd.io/etcd/client/v3", ""},
		{"node/run.go", own + "proxy/nft", "never import each other"},
		{"node/run.go", own + "node/cri", ""},
		{"scheduler/run.go", own + "apiserver/authn", "only through client"},
		{"scheduler/run.go", own + "client", ""},
		{"resource/pod.go", own + "client", "point one way"},
		{"pki/pki.go", own + "resource", "neither knows objects"},
		{"client/http.go", own + "apiserver", "components stand on client"},
		{"main.go", "k8s.io/kubernetes/pkg/apis/core", "written anew"},
		{"main_test.go", "k8s.io/kubernetes/pkg/apis/core", "written anew"},
		{"apiserver/server.go", "k8s.io/apiserver/pkg/server", "generic server"},
		{"apiserver/proxy.go", "k8s.io/apiserver/pkg/util/proxy", ""},
		{"apiserver/cel.go", "k8s.io/apiserver/pkg/cel/library", ""},
		{"controller/run.go", "k8s.io/client-go/util/workqueue", "return a Plan"},
	} {
		f := parse(t, test.file, "package x\nimport _ \""+test.imports+"\"\n")
		var found []string
		list := rules()
		for i := range list {
			found = append(found, list[i].problems(f)...)
		}
		text := strings.Join(found, "\n")
		if test.says == "" && text != "" || !strings.Contains(text, test.says) {
			t.Errorf("%s importing %s: %q, should say %q", test.file, test.imports, text, test.says)
		}
	}
}

func TestPurityBites(t *testing.T) {
	for _, test := range []struct{ file, text, says string }{
		{"controller/pod/reconcile.go", `import "time"; var x = time.Now()`, "take now as an argument"},
		{"controller/pod/reconcile.go", `import clock "time"; var x = clock.Since`, "take now as an argument"},
		{"controller/pod/reconcile.go", `import "time"; var x = time.Second`, ""},
		{"controller/pod/reconcile_test.go", `import "time"; var x = time.Now()`, ""},
		{"controller/run.go", `import "time"; var x = time.Now()`, ""},
		{"scheduler/plugin/fit.go", `import "math/rand/v2"; var x = rand.IntN(3)`, "*rand.Rand"},
		{"scheduler/plugin/fit.go", `import "math/rand/v2"; func f(r *rand.Rand) int { return r.IntN(3) }`, ""},
		{"resource/pod.go", `import "sync"; var m sync.Mutex`, "shares nothing"},
		{"resource/pod.go", `import "net"; var x = net.ParseIP("::1")`, ""},
		{"resource/pod.go", `import "net"; var x = net.Dial`, "what the network says"},
		{"proxy/plan.go", `import "log/slog"; var x = slog.Info`, "let the shell log it"},
		{"proxy/run.go", `import "log/slog"; var x = slog.Info`, ""},
		{"dns/answer.go", `import "os"; var x = os.Args`, "as an argument"},
		{"dns/serve.go", `import "os"; var x = os.Args`, ""},
		{"view/view.go", `func f() { go f() }`, "goroutine"},
	} {
		f := parse(t, test.file, "package x\n"+test.text+"\n")
		found := strings.Join(impurities(f), "\n")
		if test.says == "" && found != "" || !strings.Contains(found, test.says) {
			t.Errorf("%s with %s: %q, should say %q", test.file, test.text, found, test.says)
		}
	}
}
