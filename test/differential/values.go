package main

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// maker makes values from schemas by chance.
type maker struct {
	rnd *rand.Rand
	in  *schemas
}

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

// chance is true n times in a hundred.
func (m *maker) chance(n int) bool { return m.rnd.IntN(100) < n }

// strange are values that no field likes.
func (m *maker) strange() any {
	return pick[any](m.rnd, nil, "", " ", "x", json.Number("0"), json.Number("-1"), json.Number("1.5"), json.Number("99999999999999999999"),
		true, []any{}, map[string]any{}, []any{nil}, map[string]any{"": ""}, "null", "true", "1", strings.Repeat("a", 300), "\u0000", "ünïcode/…", "A_b.C")
}

// texts are strings of all sorts, of which each field takes some.
var texts = []string{
	"", "a", "abc", "a-b", "my-name", "My_Name", "a.b.c", "-a", "a-", "example.com/name", "example.com/Some_Name", "kubernetes.io/x", "/", "//", "a/b/c",
	strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 253), strings.Repeat("a", 254), "with space", "1", "10.0.0.1", "::1", "10.0.0.0/8",
	"300.1.1.1", "fe80::1", "http", "https", "TCP", "UDP", "tcp", "Always", "Never", "IfNotPresent", "None", "*", "*.example.com", "name=value", "$(VAR)",
	"../etc", "/etc", "/a:b", "v1", "apps/v1", "Pod", "default", "kube-system", "100m", "1Gi", "50%", "150%", "-1%", "0", "5s", "2020-01-01T00:00:00Z", "ünïcode", "a\nb",
}

var quantities = []any{
	"1", "500m", "1Gi", "0", "-1", "1.5", "1e3", "1E3", "0.1", "100Mi", "1000m", "1024Ki", "", "abc", "1 Gi", "1gi", "9999999999999999999", "0.0000000001", "+1", ".5", "5.",
	json.Number("1"), json.Number("0.5"), json.Number("-3"), json.Number("1e3"), true,
}

var integers = []string{"0", "1", "-1", "2", "3", "5", "10", "80", "100", "443", "600", "3600", "8080", "30080", "32768", "65535", "65536", "2147483647", "2147483648", "-2147483648", "9223372036854775807", "9223372036854775808", "1.0", "1.5", "1e2"}

// value makes a value of a schema: mostly of its type.
func (m *maker) value(s *schema, depth int) any {
	if s == nil || m.chance(12) {
		return m.strange()
	}
	if s.is("api.resource.Quantity") {
		return pick(m.rnd, quantities...)
	}
	if s.is("util.intstr.IntOrString") || s.Format == "int-or-string" {
		return pick[any](m.rnd, json.Number(pick(m.rnd, integers...)), pick(m.rnd, "50%", "0%", "100%", "101%", "-5%", "http", "80", "5", "", "a b"))
	}
	if s.Format == "date-time" {
		return pick(m.rnd, "2020-01-02T03:04:05Z", "2020-01-02T03:04:05.678901Z", "2020-01-02T03:04:05+02:00", "2020-01-02", "yesterday", "", "2020-01-02T03:04:05.1Z")
	}
	if len(s.Enum) > 0 && !m.chance(20) {
		return pick(m.rnd, s.Enum...)
	}
	switch s.Type {
	case "string":
		if s.Format == "byte" {
			return pick(m.rnd, "", "YQ==", "YWJj", "YQ", "not base64!", "////", "YW\nJj")
		}
		return pick(m.rnd, texts...)
	case "integer", "number":
		return json.Number(pick(m.rnd, integers...))
	case "boolean":
		return pick(m.rnd, true, false)
	case "array":
		return m.list(s, depth)
	case "object":
		return m.object(s, depth)
	}
	return m.strange()
}

func (m *maker) list(s *schema, depth int) any {
	out := []any{}
	if depth > 3 {
		return out
	}
	for range pick(m.rnd, 0, 1, 1, 2) {
		out = append(out, m.value(s.Items.resolve(m.in), depth+1))
	}
	if len(out) > 0 && m.chance(20) {
		out = append(out, out[0]) // a duplicate
	}
	return out
}

func (m *maker) object(s *schema, depth int) any {
	out := map[string]any{}
	if depth > 3 {
		return out
	}
	if s.Additional != nil {
		for range m.rnd.IntN(3) {
			out[pick(m.rnd, texts...)] = m.value(s.Additional.resolve(m.in), depth+1)
		}
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		share := 100 / (len(s.Properties) + 2)
		if slices.Contains(s.Required, name) {
			share = 90
		}
		if m.chance(share) {
			out[name] = m.value(s.Properties[name].resolve(m.in), depth+1)
		}
	}
	if m.chance(5) {
		out["unknownField"] = m.strange()
	}
	return out
}

// place is a path into an object, and the schema of what is there.
type place struct {
	path   []any
	schema *schema
	value  any // what is there now
}

// choose walks from the top to a place, mostly along what is there.
func (m *maker) choose(s *schema, v any, not ...string) place {
	p := place{schema: s, value: v}
	for depth := 0; depth < 8; depth++ {
		key, ok := m.step(p, depth, not)
		if !ok {
			break
		}
		p = place{path: append(slices.Clone(p.path), key), schema: p.schema.child(m.in, key), value: inside(p.value, key)}
		if depth > 0 && m.chance(15) {
			break
		}
	}
	return p
}

// step chooses a member or an element.
func (m *maker) step(p place, depth int, not []string) (any, bool) {
	switch v := p.value.(type) {
	case []any:
		if len(v) == 0 || m.chance(15) {
			return len(v), true
		}
		return m.rnd.IntN(len(v)), true
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		if p.schema != nil && (len(names) == 0 || m.chance(50)) {
			names = slices.Sorted(maps.Keys(p.schema.Properties))
		}
		if depth == 0 {
			names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(not, n) })
		}
		if len(names) > 0 {
			return pick(m.rnd, names...), true
		}
	case nil:
		if p.schema == nil {
			return nil, false
		}
		if p.schema.Type == "array" {
			return 0, true
		}
		if names := slices.Sorted(maps.Keys(p.schema.Properties)); len(names) > 0 {
			return pick(m.rnd, names...), true
		}
	}
	if p.schema != nil && p.schema.Additional != nil {
		return pick(m.rnd, texts...), true
	}
	return nil, false
}

func inside(v, key any) any {
	switch v := v.(type) {
	case map[string]any:
		name, _ := key.(string)
		return v[name]
	case []any:
		if i, ok := key.(int); ok && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// change makes an operation on one place of an object.
func (m *maker) change(s *schema, v any, not ...string) op {
	p := m.choose(s, v, not...)
	if len(p.path) > 1 && m.chance(18) && inside(v, p.path[0]) != nil {
		return op{Op: "remove", Path: p.path}
	}
	if len(p.path) == 0 {
		p.path = []any{"unknownField"}
	}
	if list, ok := p.value.([]any); ok && len(list) > 0 && m.chance(30) {
		return op{Op: "set", Path: append(slices.Clone(p.path), len(list)), Value: list[0]} // a duplicate
	}
	if m.chance(4) {
		return op{Op: "set", Path: append(slices.Clone(p.path[:len(p.path)-1]), "unknownField"), Value: m.strange()}
	}
	return op{Op: "set", Path: p.path, Value: m.value(p.schema, len(p.path)/2)}
}
