package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// state is all of a namespace in the form that is compared: by kind, and without
// what cannot be equal. Objects with names that were drawn have a common one, and
// are told apart by what they hold.
func (s *side) state(namespace string) map[string][]any {
	var objects []map[string]any
	kinds := map[string][]map[string]any{}
	for _, k := range followed {
		of := namespace
		if !k.namespaced {
			of = ""
		}
		for _, o := range s.mirror.in(k.name, of) {
			if name, _ := at(o, "metadata.name").(string); of == "" && !strings.HasPrefix(name, namespace) {
				continue // of another story
			}
			kinds[k.title()] = append(kinds[k.title()], o)
			objects = append(objects, o)
		}
	}
	m := newStateMask(objects)
	out := map[string][]any{}
	for title, list := range kinds {
		for _, o := range list {
			switch {
			case title == "events":
				o = told(o)
			case at(o, "metadata.name") == "kube-root-ca.crt":
				delete(o, "data") // each cluster has its own authority
			}
			out[title] = append(out[title], m.value(o))
		}
		slices.SortFunc(out[title], func(a, b any) int { return strings.Compare(show(a), show(b)) })
	}
	// Events are counted and repeated as time goes: what they say is compared.
	out["events"] = slices.CompactFunc(out["events"], func(a, b any) bool { return show(a) == show(b) })
	return out
}

// told is what an event says.
func told(e map[string]any) map[string]any {
	return map[string]any{
		"about": fmt.Sprint(at(e, "involvedObject.kind"), " ", at(e, "involvedObject.name")),
		"type":  e["type"], "reason": e["reason"], "message": e["message"],
		"from": at(e, "source.component"), "reporter": e["reportingComponent"], "action": e["action"],
	}
}

// stateMask replaces what two clusters cannot have in common.
type stateMask struct {
	names, uids map[string]string
	drawn       *strings.Replacer
}

func newStateMask(objects []map[string]any) *stateMask {
	m := &stateMask{names: map[string]string{}, uids: map[string]string{}}
	var pairs []string
	for _, o := range objects {
		name, _ := at(o, "metadata.name").(string)
		prefix, _ := at(o, "metadata.generateName").(string)
		if prefix != "" && strings.HasPrefix(name, prefix) && len(name) == len(prefix)+5 {
			pairs = append(pairs, name, prefix+"‹drawn›")
		}
	}
	m.drawn = strings.NewReplacer(pairs...)
	for _, o := range objects {
		name, _ := at(o, "metadata.name").(string)
		if uid, _ := at(o, "metadata.uid").(string); uid != "" {
			m.uids[uid] = fmt.Sprintf("‹uid of %s %s›", o["kind"], m.drawn.Replace(name))
		}
	}
	return m
}

var (
	stateTime = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 UTC)`)
	stateIP   = regexp.MustCompile(`\b10\.(96|244)\.\d+\.\d+\b`)
	nodeText  = regexp.MustCompile(`\bnode-[a-c]\b`)
	drawnPod  = regexp.MustCompile(`((?i:: |pods? |/|\"))([a-z0-9-]+)-[bcdfghjklmnpqrstvwxz2456789]{5}\b`)
)

func (m *stateMask) value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			switch k {
			case "managedFields", "resourceVersion":
			case "lastHeartbeatTime", "lastProbeTime":
			default:
				out[k] = m.value(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = m.value(e)
		}
		return out
	case string:
		return m.text(v)
	}
	return v
}

func (m *stateMask) text(text string) string {
	text = m.drawn.Replace(text)
	text = uidText.ReplaceAllStringFunc(text, func(uid string) string {
		if known := m.uids[uid]; known != "" {
			return known
		}
		return "‹uid›"
	})
	text = stateTime.ReplaceAllString(text, "‹time›")
	text = stateIP.ReplaceAllString(text, "‹ip›")
	text = nodeText.ReplaceAllString(text, "‹node›")
	text = randomName.ReplaceAllString(text, "kube-api-access-‹random›")
	return drawnPod.ReplaceAllString(text, "$1$2-‹drawn›") // of pods that are gone, or never were
}

// compare counts the objects of both sides that are equal, and pairs the rest
// by kind and name to say where they differ.
func (c *chapter) compare(upstream, skiff map[string][]any) {
	titles := map[string]bool{}
	for t := range upstream {
		titles[t] = true
	}
	for t := range skiff {
		titles[t] = true
	}
	for t := range titles {
		left, right := c.unlike(upstream[t], skiff[t])
		for len(left) > 0 {
			u := left[0]
			left = left[1:]
			i := slices.IndexFunc(right, func(s any) bool { return title(s) == title(u) })
			if i < 0 {
				c.Diffs = append(c.Diffs, newDiff(t+" "+title(u), u, nil))
				continue
			}
			walk(t+" "+title(u), u, right[i], func(path string, a, b any) { c.Diffs = append(c.Diffs, newDiff(path, a, b)) })
			right = slices.Delete(right, i, i+1)
		}
		for _, s := range right {
			c.Diffs = append(c.Diffs, newDiff(t+" "+title(s), nil, s))
		}
	}
	slices.SortFunc(c.Diffs, func(a, b diff) int { return strings.Compare(a.Path, b.Path) })
}

// title names an object, or an event by what it is about.
func title(v any) string {
	if name, ok := at(v, "metadata.name").(string); ok {
		return name
	}
	if about, ok := at(v, "about").(string); ok {
		return fmt.Sprint(about, " ", at(v, "reason"))
	}
	return ""
}

// unlike takes away what both have.
func (c *chapter) unlike(upstream, skiff []any) (left, right []any) {
	texts := map[string]int{}
	for _, s := range skiff {
		texts[text(s)]++
	}
	for _, u := range upstream {
		c.Objects++
		if t := text(u); texts[t] > 0 {
			texts[t]--
			c.Agreed++
			continue
		}
		left = append(left, u)
	}
	for _, s := range skiff {
		if t := text(s); texts[t] > 0 {
			texts[t]--
			right = append(right, s)
		}
	}
	c.Objects += max(0, len(right)-len(left))
	return left, right
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was read from JSON
	}
	return string(data)
}
