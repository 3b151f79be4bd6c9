package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// diff is one place at which the answers differ.
type diff struct {
	Path     string `json:"path"`
	Upstream string `json:"upstream"`
	Skiff    string `json:"skiff"`
	// Cause is the same for differences that one mend would end.
	Cause string `json:"cause"`
}

// compare returns where two normalised answers differ. Where the codes do, only
// that: the rest follows from it.
func compare(upstream, skiff any) []diff {
	u, isAnswer := upstream.(map[string]any)
	s, _ := skiff.(map[string]any)
	if isAnswer && s != nil && u["code"] != s["code"] {
		return []diff{codeDiff(u, s)}
	}
	var diffs []diff
	walk("", upstream, skiff, func(path string, a, b any) {
		if !sameWords(path, a, b) {
			diffs = append(diffs, newDiff(path, a, b))
		}
	})
	if len(diffs) > 1 {
		// The message of a refusal says the causes again.
		if i := slices.IndexFunc(diffs, func(d diff) bool { return strings.Contains(d.Path, "details.causes") }); i >= 0 {
			diffs = slices.DeleteFunc(diffs, func(d diff) bool { return d.Path == "body.message" })
		}
	}
	return diffs
}

// codeDiff says which way the answers went.
func codeDiff(u, s map[string]any) diff {
	answered := func(a map[string]any) string {
		if err, ok := a["error"].(string); ok {
			return err
		}
		if message, ok := at(a, "body.message").(string); ok && at(a, "body.kind") == "Status" {
			return fmt.Sprintf("%v %s", a["code"], message)
		}
		if text, ok := a["body"].(string); ok {
			return fmt.Sprintf("%v %.200s", a["code"], text)
		}
		return fmt.Sprint(a["code"])
	}
	us, sk := answered(u), answered(s)
	return diff{Path: "code", Upstream: us, Skiff: sk, Cause: fmt.Sprintf("code: %s  ≠  %s", general(us), general(sk))}
}

// absent stands for a value that is not there.
const absent = "‹absent›"

func newDiff(path string, a, b any) diff {
	d := diff{Path: path, Upstream: show(a), Skiff: show(b)}
	place := indexText.ReplaceAllString(path, "[]")
	place = mapKey.ReplaceAllString(place, "$1.*")
	if i := strings.Index(place, "managedFields"); i >= 0 {
		place = place[:i] + fieldsText.ReplaceAllString(place[i:], ".fieldsV1")
	}
	speaks := strings.HasSuffix(place, "message") || strings.Contains(place, "causes") || strings.HasPrefix(place, "header")
	switch {
	case speaks:
		d.Cause = fmt.Sprintf("%s: %s  ≠  %s", place, general(said(a)), general(said(b)))
	case b == nil:
		d.Cause = place + ": absent in Skiff"
	case a == nil:
		d.Cause = place + ": only in Skiff"
	default:
		d.Cause = fmt.Sprintf("%s: %s  ≠  %s", place, general(d.Upstream), general(d.Skiff))
	}
	return d
}

// said is a text, or what a cause of a refusal says, without quotes around it.
func said(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		if message, ok := v["message"].(string); ok {
			return fmt.Sprintf("%v: %s", v["field"], message)
		}
	}
	return show(v)
}

var (
	indexText  = regexp.MustCompile(`\[\d+\]`)
	mapKey     = regexp.MustCompile(`(\.(?:labels|annotations|matchLabels|nodeSelector|data|stringData|binaryData|limits|requests|hard|used|capacity|allocatable))\..*`)
	fieldsText = regexp.MustCompile(`\.fieldsV1\..*`)
	quoted     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	numbers    = regexp.MustCompile(`-?\d+(\.\d+)?`)
	caseName   = regexp.MustCompile(`\b[a-z]{1,40}-s\d+(-[a-z0-9]+)?\b`)
)

// general takes out of a text what is peculiar to one request.
func general(text string) string {
	if len(text) > 2000 {
		text = text[:2000]
	}
	text = caseName.ReplaceAllString(text, "NS")
	text = quoted.ReplaceAllString(text, `""`)
	text = numbers.ReplaceAllStringFunc(text, func(n string) string {
		if len(n) == 3 && strings.HasPrefix(text, n+" ") {
			return n // the code
		}
		return "N"
	})
	if len(text) > 220 {
		text = text[:220] + "…"
	}
	return text
}

func show(v any) string {
	if v == nil {
		return absent
	}
	if _, ok := v.(null); ok {
		return "null"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// null is a null that is there.
type null struct{}

// walk calls found for every place where a and b differ; what is missing on one
// side is nil.
func walk(path string, a, b any, found func(string, any, any)) {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if aok && bok {
		keys := slices.Sorted(maps.Keys(am))
		for k := range bm {
			if _, both := am[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			walk(strings.TrimPrefix(path+"."+k, "."), member(am, k), member(bm, k), found)
		}
		return
	}
	al, aok := a.([]any)
	bl, bok := b.([]any)
	if aok && bok {
		walkLists(path, al, bl, found)
		return
	}
	if !reflect.DeepEqual(a, b) {
		found(path, a, b)
	}
}

func member(m map[string]any, key string) any {
	v, ok := m[key]
	if ok && v == nil {
		return null{}
	}
	return v
}

// walkLists compares by position, or, where only the length or order differs,
// says what one list has and the other not.
func walkLists(path string, a, b []any, found func(string, any, any)) {
	if len(a) == len(b) && !strings.HasSuffix(path, "causes") {
		for i := range a {
			walk(fmt.Sprintf("%s[%d]", path, i), a[i], b[i], found)
		}
		return
	}
	rest := slices.Clone(b)
	missing := false
	for _, e := range a {
		i := slices.IndexFunc(rest, func(o any) bool { return reflect.DeepEqual(e, o) })
		if i < 0 {
			found(path+"[0]", e, nil)
			missing = true
			continue
		}
		rest = slices.Delete(rest, i, i+1)
	}
	for _, e := range rest {
		found(path+"[0]", nil, e)
		missing = true
	}
	if !missing && !reflect.DeepEqual(a, b) && !strings.HasSuffix(path, "causes") {
		found(path, a, b)
	}
}

// sameWords tells whether messages say the same in another order. Upstream goes
// through maps on its way to them, so its order is another each time; that of
// causes, too.
func sameWords(path string, a, b any) bool {
	one, isText := a.(string)
	other, too := b.(string)
	if !isText || !too || !strings.HasSuffix(path, "message") || len(one) != len(other) {
		return false
	}
	words := func(text string) []string {
		return slices.Sorted(slices.Values(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \n,[]", r) })))
	}
	return slices.Equal(words(one), words(other))
}
