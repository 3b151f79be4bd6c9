// Package policy holds the roles and bindings that Skiff starts a cluster with to
// those of upstream.
package policy

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

// TestDefaults compares the file of Skiff's defaults with upstream's policy,
// written in the same form. UPDATE=1 rewrites all of the file but its head.
func TestDefaults(t *testing.T) {
	const file = "../../apiserver/authz/defaults.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, got, ok := strings.Cut(string(data), "\n\n")
	if !ok {
		t.Fatalf("%s has no head", file)
	}
	want := upstream(t)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(head+"\n\n"+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, should := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(have), len(should)) {
		if i >= len(have) || i >= len(should) || have[i] != should[i] {
			t.Fatalf("%s differs from upstream in line %d below its head:\nhave %q\nwant %q", file, i+1,
				have[min(i, len(have)-1)], should[min(i, len(should)-1)])
		}
	}
}

// writer writes policies in the form of defaults.txt.
type writer struct {
	strings.Builder
	t *testing.T
}

func upstream(t *testing.T) string {
	w := &writer{t: t}
	for _, r := range slices.Concat(byName(bootstrappolicy.ClusterRoles()), byName(bootstrappolicy.ControllerRoles())) {
		w.head("clusterrole", r.ObjectMeta)
		if r.AggregationRule != nil {
			for _, s := range r.AggregationRule.ClusterRoleSelectors {
				w.line("  aggregate %s", pairs(s.MatchLabels))
			}
		}
		w.rules(r.Rules)
	}
	for _, b := range slices.Concat(byName(bootstrappolicy.ClusterRoleBindings()), byName(bootstrappolicy.ControllerRoleBindings())) {
		w.head("clusterrolebinding", b.ObjectMeta, b.RoleRef.Name)
		w.subjects(b.Subjects)
	}
	roles := bootstrappolicy.NamespaceRoles()
	for _, namespace := range slices.Sorted(maps.Keys(roles)) {
		for _, r := range byName(roles[namespace]) {
			w.head("role", r.ObjectMeta)
			w.rules(r.Rules)
		}
	}
	bindings := bootstrappolicy.NamespaceRoleBindings()
	for _, namespace := range slices.Sorted(maps.Keys(bindings)) {
		for _, b := range byName(bindings[namespace]) {
			w.head("rolebinding", b.ObjectMeta, b.RoleRef.Name)
			w.subjects(b.Subjects)
		}
	}
	return w.String()
}

func byName[T any, P interface {
	*T
	GetName() string
}](list []T) []T {
	return slices.SortedFunc(slices.Values(list), func(a, b T) int { return strings.Compare(P(&a).GetName(), P(&b).GetName()) })
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// head writes an object's first line. What all of them have is not written, and
// checked here.
func (w *writer) head(kind string, meta metav1.ObjectMeta, more ...string) {
	labels := maps.Clone(meta.Labels)
	if labels["kubernetes.io/bootstrapping"] != "rbac-defaults" || meta.Annotations["rbac.authorization.kubernetes.io/autoupdate"] != "true" || len(meta.Annotations) != 1 {
		w.t.Errorf("%s %s has other marks: %v %v", kind, meta.Name, labels, meta.Annotations)
	}
	delete(labels, "kubernetes.io/bootstrapping")
	name := meta.Name
	if meta.Namespace != "" {
		name = meta.Namespace + "/" + name
	}
	words := append([]string{kind, name}, more...)
	if len(labels) > 0 {
		words = append(words, pairs(labels))
	}
	w.line("%s", strings.Join(words, " "))
}

func pairs(m map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, key+"="+m[key])
	}
	return strings.Join(out, " ")
}

func (w *writer) rules(rules []rbacv1.PolicyRule) {
	for _, r := range rules {
		if len(r.NonResourceURLs) > 0 {
			w.line("  %s url %s", strings.Join(r.Verbs, ","), strings.Join(r.NonResourceURLs, ","))
			continue
		}
		groups := slices.Clone(r.APIGroups)
		for i := range groups {
			if groups[i] == "" {
				groups[i] = "core"
			}
		}
		words := []string{"  " + strings.Join(r.Verbs, ","), strings.Join(groups, ","), strings.Join(r.Resources, ",")}
		if len(r.ResourceNames) > 0 {
			words = append(words, strings.Join(r.ResourceNames, ","))
		}
		w.line("%s", strings.Join(words, " "))
	}
}

func (w *writer) subjects(subjects []rbacv1.Subject) {
	for _, s := range subjects {
		if s.Kind == rbacv1.ServiceAccountKind {
			w.line("  serviceaccount %s/%s", s.Namespace, s.Name)
			continue
		}
		w.line("  %s %s", strings.ToLower(s.Kind), s.Name)
	}
}
