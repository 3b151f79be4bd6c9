package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// masker takes out of the answers of one server what cannot be equal: times,
// UIDs, revisions, and what the server draws at random. What the client has
// sent itself stays. Each value gets the number of its first appearance, so
// that "the same again" and "another one" are still told apart.
type masker struct {
	sent     strings.Builder // all that the client sent in this scene
	replaced map[string]string
	counts   map[string]int
}

func newMasker() *masker { return &masker{replaced: map[string]string{}, counts: map[string]int{}} }

func (m *masker) name(kind, value string) string {
	if m.replaced[value] == "" {
		m.counts[kind]++
		m.replaced[value] = fmt.Sprintf("‹%s%d›", kind, m.counts[kind])
	}
	return m.replaced[value]
}

func (m *masker) wasSent(text string) bool { return strings.Contains(m.sent.String(), text) }

var (
	uidText    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timeText   = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 UTC)`)
	rvInText   = regexp.MustCompile(`((?i:resource ?version)\S*:? "?|current: |\()\d+`)
	rvInJSON   = regexp.MustCompile(`(\\?"resourceVersion\\?":\\?")\d+`)
	randomName = regexp.MustCompile(`kube-api-access-[a-z0-9]{5}`)
	credential = regexp.MustCompile(`X509SHA256=[0-9a-f]{64}`)
	serviceIP  = regexp.MustCompile(`\b10\.96\.\d+\.\d+\b`)
	ageText    = regexp.MustCompile(`^(<invalid>|(\d+(ms|[smhdy]))+)$`)
	jwtText    = regexp.MustCompile(`^eyJ[\w-]+\.[\w-]+\.[\w-]+$`)
)

// answer masks a whole answer.
func (m *masker) answer(v any) any {
	object, _ := v.(map[string]any)
	list := false
	if object != nil {
		_, items := object["items"]
		kind, _ := object["kind"].(string)
		list = items || kind == "Table" || strings.HasSuffix(kind, "List")
	}
	m.learn(v)
	if list {
		if meta, ok := object["metadata"].(map[string]any); ok {
			maskKey(meta, "resourceVersion", "‹rv›")
			maskKey(meta, "continue", "‹continue›")
		}
	}
	if object["type"] == "BOOKMARK" {
		if meta, ok := at(object, "object.metadata").(map[string]any); ok {
			maskKey(meta, "resourceVersion", "‹rv›")
		}
	}
	return m.value("", v)
}

func maskKey(object map[string]any, key, mask string) {
	if text, ok := object[key].(string); ok && text != "" {
		object[key] = mask
	}
}

// learn notes the names that the server has generated.
func (m *masker) learn(v any) {
	switch v := v.(type) {
	case map[string]any:
		if prefix, ok := v["generateName"].(string); ok && prefix != "" {
			if name, ok := v["name"].(string); ok && strings.HasPrefix(name, prefix) && len(name) == len(prefix)+5 && !m.wasSent(name) {
				m.replaced[name] = prefix + "‹generated›"
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m.learn(v[key])
		}
	case []any:
		for _, e := range v {
			m.learn(e)
		}
	}
}

func (m *masker) value(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out[m.text(k)] = m.value(k, v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = m.value(key, e)
		}
		return m.ages(key, out)
	case json.Number:
		if (key == "nodePort" || key == "healthCheckNodePort") && !m.wasSent(v.String()) {
			return "‹port›"
		}
		if key == "iat" || key == "exp" || key == "nbf" {
			return "‹seconds›"
		}
		return v
	case string:
		if key == "resourceVersion" && v != "" && v != "‹rv›" {
			return m.name("rv", v)
		}
		if jwtText.MatchString(v) {
			return m.token(v)
		}
		return m.text(v)
	}
	return v
}

// ages masks the cells of a table's row that say how long ago something was.
func (m *masker) ages(key string, cells []any) []any {
	if key != "cells" {
		return cells
	}
	for i, c := range cells {
		if text, ok := c.(string); ok && ageText.MatchString(text) {
			cells[i] = "‹age›"
		}
	}
	return cells
}

// token is what a signed token says.
func (m *masker) token(text string) any {
	var out []any
	for _, part := range strings.Split(text, ".")[:2] {
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return text
		}
		v, err := decodeJSON(data)
		if err != nil {
			return text
		}
		out = append(out, m.value("", v))
	}
	return out
}

func (m *masker) text(text string) string {
	if len(text) < 4 {
		return text
	}
	text = uidText.ReplaceAllStringFunc(text, func(uid string) string {
		if m.wasSent(uid) && m.replaced[uid] == "" {
			return uid
		}
		return m.name("uid", uid)
	})
	text = timeText.ReplaceAllStringFunc(text, m.time)
	text = rvInText.ReplaceAllString(text, "$1‹rv›")
	text = rvInJSON.ReplaceAllString(text, "$1‹rv›")
	text = credential.ReplaceAllString(text, "X509SHA256=‹hash›")
	text = randomName.ReplaceAllString(text, "kube-api-access-‹random›")
	text = serviceIP.ReplaceAllStringFunc(text, func(ip string) string {
		if m.wasSent(ip) {
			return ip
		}
		return "‹ip›"
	})
	for known, mask := range m.replaced {
		if strings.Contains(text, known) && strings.Contains(mask, "generated") {
			text = strings.ReplaceAll(text, known, mask)
		}
	}
	return text
}

// time masks a time near the present, and keeps its precision and its distance
// in steps of ten seconds: a grace period shows.
func (m *masker) time(text string) string {
	if m.wasSent(text) {
		return text
	}
	if m.replaced[text] == "" {
		m.replaced[text] = m.distance(text)
	}
	return m.replaced[text]
}

// distance is the mask of a time that is seen for the first time. However long
// the scene takes, it stays.
func (m *masker) distance(text string) string {
	layout := time.RFC3339Nano
	if strings.HasSuffix(text, "UTC") {
		layout = "2006-01-02 15:04:05.999999999 -0700 MST"
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return text
	}
	distance := time.Until(t).Round(10 * time.Second)
	if distance < -time.Hour || distance > 48*time.Hour {
		return text
	}
	mask := "‹time"
	if distance > 0 {
		mask += fmt.Sprintf("+%s", distance)
	}
	if i := strings.IndexByte(text, '.'); i > 0 {
		mask += fmt.Sprintf(" %d digits", len(strings.TrimRight(text[i+1:], "Z UTC+0")))
		mask = strings.Split(mask, " ")[0] + " with fraction"
	}
	return mask + "›"
}

// at returns what is at a dotted path, nil where there is nothing.
func at(v any, path string) any {
	if path == "." {
		return v
	}
	for key := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			i := 0
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}
