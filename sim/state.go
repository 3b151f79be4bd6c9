package sim

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// passing are the fields whose values are those of one run: what objects are known
// by, how often they were written, where the scheduler, which draws among equals, has
// put pods, what people are told of the way, and what only its metrics are made of.
var passing = []string{
	"uid", "resourceVersion", "managedFields", "generation", "observedGeneration", "nodeName", "containerID", "message",
	corev1.EndpointsLastChangeTriggerTime,
}

var uidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// state is a line for each field of each object that was written after a revision,
// sorted. Two clusters that came to the same have the same lines: what is passing is
// left out, times, addresses, UIDs and generated names are masked, and the order of
// lists, which tells who was first, is not told.
func state(v *view.View, after int64) []string {
	var objects []map[string]any
	for _, info := range resource.All() {
		if info == resource.Leases.Info {
			continue
		}
		for e := range v.Entries(info, "", view.Key{}) {
			if revisionOf(e.Object) > after {
				objects = append(objects, tree(info, e.Object))
			}
		}
	}
	m := masker{generated: generatedNames(objects)}
	for _, obj := range objects {
		title, _ := obj[""].(string)
		m.field(m.text(title), obj)
	}
	slices.Sort(m.lines)
	return m.lines
}

func revisionOf(obj resource.Object) int64 {
	var revision int64
	if _, err := fmt.Sscan(obj.GetResourceVersion(), &revision); err != nil {
		return 0
	}
	return revision
}

// tree is an object as JSON knows it, with its kind and name at the empty key.
func tree(info *resource.Info, obj resource.Object) map[string]any {
	data, err := json.Marshal(obj)
	out := map[string]any{}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic(fmt.Sprintf("read %s %s as JSON: %v", info.GVR.Resource, obj.GetName(), err)) // the server stores it as JSON
	}
	out[""] = info.GVR.Resource + " " + view.KeyOf(obj).String()
	return out
}

// generatedNames finds the names that servers have completed, also those of objects
// that are gone.
func generatedNames(objects []map[string]any) *regexp.Regexp {
	prefixes := []string{"kube-api-access-"} // of pods' volumes
	for _, obj := range objects {
		meta, _ := obj["metadata"].(map[string]any)
		if prefix, ok := meta["generateName"].(string); ok && !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	slices.SortFunc(prefixes, func(a, b string) int { return len(b) - len(a) }) // the longest that fits
	for i, prefix := range prefixes {
		prefixes[i] = regexp.QuoteMeta(prefix)
	}
	return regexp.MustCompile(`\b(` + strings.Join(prefixes, "|") + `)[bcdfghjklmnpqrstvwxz2456789]{5}\b`)
}

type masker struct {
	generated *regexp.Regexp
	lines     []string
}

// field adds the lines of a value.
func (m *masker) field(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["type"] == string(corev1.DisruptionTarget) && v["status"] == string(corev1.ConditionFalse) {
			return // a threat that has passed is as none
		}
		for key, field := range v {
			if key != "" && !slices.Contains(passing, key) {
				m.field(path+"."+m.text(key), field)
			}
		}
		if len(v) == 0 {
			m.lines = append(m.lines, path+" {}")
		}
	case []any:
		for _, item := range v {
			m.field(path+"[]", item)
		}
	case string:
		m.lines = append(m.lines, path+" "+m.text(v))
	default:
		m.lines = append(m.lines, fmt.Sprint(path, " ", v))
	}
}

func (m *masker) text(text string) string {
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return "(time)"
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return "(address)"
	}
	text = uidText.ReplaceAllString(text, "(uid)")
	return m.generated.ReplaceAllString(text, "$1(generated)")
}
