package policy

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/proxy"
)

func testConfig() proxy.Config {
	return proxy.Config{
		Node:     "here",
		NodeIPs:  []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16")},
	}
}

// TestPlan makes the rules of testdata/policy.txt. Each case is a name
// ("== name"), objects in YAML, and after "=>" what they add to the ruleset of
// an empty cluster. With UPDATE=1 in the environment it rewrites them.
func TestPlan(t *testing.T) {
	const file = "testdata/policy.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, c := range strings.Split(string(text), "== ")[1:] {
		name, rest, _ := strings.Cut(c, "\n")
		objects, _, _ := strings.Cut(rest, "=>\n")
		rules, _ := proxy.NewBook(testConfig())
		base, book := rules.Ruleset(), NewBook(rules, "here")
		for doc := range strings.SplitSeq(objects, "\n---\n") {
			record(t, name, book, doc)
		}
		out.WriteString("== " + name + "\n" + objects + "=>\n" + rules.Ruleset().Text(base) + "\n")
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if out.String() != string(text) {
		t.Errorf("rules differ from %s; run with UPDATE=1 and look at the difference:\n%s", file, out.String())
	}
}

func record(t *testing.T, name string, book *Book, doc string) {
	t.Helper()
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	read := func(into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	switch kind.Kind {
	case "Pod":
		p := &corev1.Pod{}
		read(p)
		book.SetPod(p)
	case "Namespace":
		n := &corev1.Namespace{}
		read(n)
		book.SetNamespace(n)
	case "NetworkPolicy":
		p := &networkingv1.NetworkPolicy{}
		read(p)
		book.SetPolicy(p)
	default:
		t.Fatalf("%s: kind %q", name, kind.Kind)
	}
}
