// Package deps holds who may import what, as tables that its tests check
// against the source. ARCHITECTURE.md draws the same picture.
package deps

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/skiff-sh/skiff/internal/source"
)

// rule keeps imports out of packages. Test files are free to import anything
// but what a rule with Tests set forbids.
type rule struct {
	In     []string // folders the rule is about; see source.Match
	Except []string // folders or files among them that may
	Never  []string // imports: folders of this module, or import paths of others
	But    []string // imports among them that are all right
	Tests  bool     // the rule holds in test files too
	Why    string
	Do     string // what to do instead
}

// components are the parts of a node or control plane that see only client.
func components() []string {
	return []string{"controller/...", "scheduler/...", "node/...", "proxy/...", "dns/...", "dashboard/...", "election/..."}
}

func rules() []rule {
	return slices.Concat(layers(), libraries(), apart())
}

// layers are the rules between folders of this module.
func layers() []rule {
	return []rule{
		{
			In:     []string{"..."},
			Except: []string{"store/...", "apiserver/...", "cluster/...", "sim/...", "skifftest/...", "preview/...", "test/...", "bench/..."},
			Never:  []string{"store/..."},
			Why:    "only the API server opens the store",
			Do:     "read and write objects through client",
		},
		{
			In:     []string{"apiserver/..."},
			Except: []string{"apiserver/apiservertest"},
			Never:  []string{"store/*/..."},
			Why:    "the API server works on any store",
			Do:     "take a store.Store; cluster chooses the implementation",
		},
		{
			In:    components(),
			Never: []string{"apiserver/...", "cluster/...", "sim/...", "skifftest/..."},
			Why:   "a component sees the cluster only through client, so it can run in a process of its own",
			Do:    "use client, or have cluster pass in what is needed",
		},
		{
			In:    []string{"resource/...", "view/..."},
			Never: append(components(), "apiserver/...", "client/...", "cluster/...", "watchcache/...", "store/..."),
			Why:   "imports point one way: everything stands on resource and view",
			Do:    "move what both need down into resource or view",
		},
		{
			In:    []string{"store/...", "pki/..."},
			Never: append(components(), "resource/...", "apiserver/...", "client/...", "cluster/...", "watchcache/...", "view/..."),
			Why:   "store keeps bytes and pki certificates: neither knows objects",
			Do:    "put what knows both into apiserver or cluster",
		},
		{
			In:    []string{"client/..."},
			Never: append(components(), "apiserver/...", "cluster/..."),
			Why:   "components stand on client, and client on an interface of the server",
			Do:    "have cluster pass the server in as an interface",
		},
	}
}

// libraries are the rules about other modules.
func libraries() []rule {
	return []rule{
		{
			In:     []string{"..."},
			Except: []string{"store/etcd", "internal/keep"},
			Never:  []string{"go.etcd.io/..."},
			Why:    "etcd is one implementation of store",
			Do:     "use store.Store, and extend store if it lacks something",
		},
		{
			In:    []string{"..."},
			Never: []string{"k8s.io/kubernetes/..."},
			Tests: true,
			Why:   "Skiff is written anew; upstream's own module is only measured and compared with",
			Do:    "use the published libraries (k8s.io/api and others); peers go into modules of their own under test/ and bench/",
		},
		{
			In:     []string{"..."},
			Except: []string{"internal/keep"},
			Never:  []string{"k8s.io/apiserver/..."},
			But:    apiserverLeaves(),
			Tests:  true,
			Why:    "its generic server brings upstream's layers along; only packages that stand alone may be used",
			Do:     "write it in apiserver, or add the package to apiserverLeaves if it imports nothing of the generic server",
		},
		{
			In:    []string{"..."},
			Never: []string{"sigs.k8s.io/controller-runtime/...", "k8s.io/client-go/tools/leaderelection/...", "k8s.io/client-go/util/workqueue/..."},
			Why:   "controllers are functions of a view; controller.Run owns queue and retries",
			Do:    "return a Plan",
		},
	}
}

// apart keeps components from importing each other.
func apart() []rule {
	var list []rule
	for _, c := range components() {
		others := slices.DeleteFunc(components(), func(o string) bool { return o == c })
		list = append(list, rule{
			In: []string{c}, Never: others,
			Why: "components never import each other: each can run alone, and be replaced",
			Do:  "move what both need down (resource, view, client, network), or let them meet through the API",
		})
	}
	return list
}

// apiserverLeaves are the packages of k8s.io/apiserver that stand alone.
func apiserverLeaves() []string {
	return []string{
		"k8s.io/apiserver/pkg/apis/audit/...",
		"k8s.io/apiserver/pkg/apis/cel",
		"k8s.io/apiserver/pkg/authentication/user",
		"k8s.io/apiserver/pkg/authorization/authorizer",
		"k8s.io/apiserver/pkg/cel/...",
		"k8s.io/apiserver/pkg/util/proxy",
	}
}

// problems returns what a file imports against a rule.
func (r *rule) problems(f *source.File) []string {
	if f.Test && !r.Tests || !matches(r.In, f.Path) || matches(r.Except, f.Path) {
		return nil
	}
	var list []string
	for imported := range f.Imports() {
		name := imported
		if own, ok := strings.CutPrefix(imported, source.Module+"/"); ok {
			name = own
		} else if !strings.Contains(strings.Split(imported, "/")[0], ".") {
			continue // the standard library is purity's business
		}
		if matches(r.Never, name) && !matches(r.But, name) {
			list = append(list, fmt.Sprintf("%s imports %s, but %s: %s", f.Path, name, r.Why, r.Do))
		}
	}
	slices.Sort(list)
	return list
}

// matches is source.MatchAny, with "..." for everything.
func matches(patterns []string, name string) bool {
	return slices.Contains(patterns, "...") || source.MatchAny(patterns, name) || slices.Contains(patterns, path.Clean(name))
}
