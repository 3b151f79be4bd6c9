package deps

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"

	"github.com/skiff-sh/skiff/internal/source"
)

// pure lists what decides without acting: the same input gives the same
// output, in production, in the simulator and in tests. Folders or files.
func pure() []string {
	return []string{
		"cause",
		"view/...",
		"resource/...",
		"controller/*/...",
		"scheduler/schedule.go", "scheduler/class.go", "scheduler/kind.go", "scheduler/preempt.go", "scheduler/message.go", "scheduler/profile.go", "scheduler/queue.go", "scheduler/snapshot/...", "scheduler/plugin/...", "scheduler/config",
		"proxy/...",
		"network/route/plan.go",
		"dns/answer.go",
		"node/pod.go", "node/admit.go", "node/evict.go", "node/status.go", "node/fence.go", "node/manifest.go", "node/thresholds.go",
		"watchcache/log.go",
	}
}

// impure are the shells that live within the folders above, and what a pure
// file may have for a good reason.
func impure() []string {
	return []string{
		"view/entry.go", // encodes an object once, whoever asks first
		"proxy/run.go", "proxy/nft/...", "proxy/health/run.go", "proxy/iptables/...", "proxy/ipvs/...", "proxy/userspace/...",
	}
}

// known are files that still have to become pure. The list only shrinks.
func known() []string {
	return []string{}
}

// effects are the imports that pure code must not have, each with what to do.
func effects() map[string]string {
	return map[string]string{
		"os":          "take the contents as an argument",
		"os/exec":     "return what to run; let the shell run it",
		"os/signal":   "leave signals to main",
		"syscall":     "return what to do; let the shell do it",
		"io/ioutil":   "take the contents as an argument",
		"log":         "return what is worth saying; let the shell log it",
		"log/slog":    "return what is worth saying; let the shell log it",
		"net/http":    "return the request; let the shell send it",
		"sync":        "let the shell lock; a pure function shares nothing",
		"sync/atomic": "let the shell count; a pure function shares nothing",
		"crypto/rand": "take an io.Reader or a *rand.Rand as an argument",
	}
}

// calls are the functions of otherwise harmless packages that pure code must
// not use.
func calls() map[string]map[string]string {
	say := "return what is worth saying; let the shell log it"
	clock := "take now as an argument"
	timer := "return when to come back (Plan.Again), the runner keeps the time"
	global := "take a *rand.Rand as an argument"
	return map[string]map[string]string{
		"time": {
			"Now": clock, "Since": clock, "Until": clock,
			"Sleep": timer, "After": timer, "AfterFunc": timer, "Tick": timer, "NewTimer": timer, "NewTicker": timer,
		},
		// Some functions of upstream's libraries insist on a klog.Logger.
		"k8s.io/klog/v2": {
			"Info": say, "InfoS": say, "Infof": say, "Warning": say, "Warningf": say, "Error": say, "ErrorS": say, "Errorf": say, "V": say, "Background": say,
		},
		"math/rand":    randGlobals(global),
		"math/rand/v2": randGlobals(global),
	}
}

func randGlobals(do string) map[string]string {
	m := map[string]string{}
	for _, name := range []string{
		"Int", "IntN", "Intn", "Int31", "Int31n", "Int32", "Int32N", "Int63", "Int63n", "Int64", "Int64N", "Uint", "UintN",
		"Uint32", "Uint32N", "Uint64", "Uint64N", "N", "Float32", "Float64", "NormFloat64", "ExpFloat64", "Perm", "Shuffle", "Seed", "Read",
	} {
		m[name] = do
	}
	return m
}

// parsing are the parts of package net that only compute.
func parsing() []string {
	return []string{
		"ParseIP", "ParseCIDR", "ParseMAC", "IP", "IPNet", "IPMask", "CIDRMask", "IPv4", "IPv4Mask", "IPv4len", "IPv6len",
		"JoinHostPort", "SplitHostPort", "HardwareAddr", "ParseError", "IPv4zero", "IPv6zero", "IPv6loopback",
	}
}

// impurities returns what a pure file does that it should not.
func impurities(f *source.File) []string {
	if f.Test || !source.MatchAny(pure(), f.Path) || source.MatchAny(impure(), f.Path) {
		return nil
	}
	imports := f.Imports()
	named := map[string]string{} // local name to import path
	var list []string
	for p, name := range imports {
		named[name] = p
		if do, bad := effects()[p]; bad {
			list = append(list, fmt.Sprintf("%s imports %q, but is pure: %s", f.Path, p, do))
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			list = append(list, fmt.Sprintf("%s:%d starts a goroutine, but is pure: let the shell start it", f.Path, f.Line(n.Pos())))
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok {
				if do := forbidden(named[pkg.Name], n.Sel.Name); do != "" {
					list = append(list, fmt.Sprintf("%s:%d uses %s.%s, but is pure: %s", f.Path, f.Line(n.Pos()), pkg.Name, n.Sel.Name, do))
				}
			}
		}
		return true
	})
	slices.Sort(list)
	return list
}

// forbidden returns what to do instead of using a name of a package; "" when
// it is all right.
func forbidden(imported, name string) string {
	if imported == "net" && !slices.Contains(parsing(), name) && !strings.HasPrefix(name, "Err") {
		return "take what the network says as an argument"
	}
	return calls()[imported][name]
}
