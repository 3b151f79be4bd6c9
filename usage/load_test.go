package usage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skiff-sh/skiff/view"
)

var origin = time.Unix(1_800_000_000, 0)

// told is a node's answer after so many seconds, with a container in each line:
// pod, container, seconds of its start, of its processor time, bytes.
func told(t *testing.T, seconds float64, node string, containers ...string) sample {
	t.Helper()
	at := origin.Add(time.Duration(seconds * float64(time.Second)))
	var text strings.Builder
	var cpu, memory string
	if _, err := fmt.Sscan(node, &cpu, &memory); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&text, "# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total %s %d\n", cpu, at.UnixMilli())
	fmt.Fprintf(&text, "# TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes %s %d\n", memory, at.UnixMilli())
	for _, line := range containers {
		var pod, name, cpu, memory string
		var started float64
		if _, err := fmt.Sscan(line, &pod, &name, &started, &cpu, &memory); err != nil {
			t.Fatal(err)
		}
		labels := fmt.Sprintf(`{container="%s",namespace="default",pod="%s"}`, name, pod)
		fmt.Fprintf(&text, "container_start_time_seconds%s %f\n", labels, float64(origin.Unix())+started)
		if cpu != "-" {
			fmt.Fprintf(&text, "container_cpu_usage_seconds_total%s %s %d\n", labels, cpu, at.UnixMilli())
		}
		fmt.Fprintf(&text, "container_memory_working_set_bytes%s %s %d\n", labels, memory, at.UnixMilli())
	}
	s, err := parse([]byte(text.String()), at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// say writes a load: the node's and every container's rate in thousandths, memory
// and window.
func say(load *Load, pods ...string) string {
	use := func(u Use) string { return fmt.Sprintf("%dm %d %s", u.NanoCores/1e6, u.Memory, u.Window) }
	text := "node -"
	if u, ok := load.Nodes["a"]; ok {
		text = "node " + use(u)
	}
	for _, name := range pods {
		pod, ok := load.Pods[view.Key{Namespace: "default", Name: name}]
		if !ok {
			text += "; " + name + " -"
		}
		for _, c := range []string{"main", "side"} {
			if u, ok := pod[c]; ok {
				text += "; " + name + "/" + c + " " + use(u)
			}
		}
	}
	return text
}

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name    string
		samples []sample
		want    string
	}{
		{"one reading is no rate", []sample{told(t, 0, "10 500", "web main -60 1 100")}, "node -; web -"},
		{
			"two readings", []sample{told(t, 0, "10 500", "web main -60 1 100"), told(t, 2, "11 600", "web main -60 1.5 120")},
			"node 500m 600 2s; web/main 250m 120 2s",
		},
		{
			"too close", []sample{told(t, 0, "10 500", "web main -60 1 100"), told(t, 0.5, "11 600", "web main -60 1.5 120")},
			"node -; web -",
		},
		{
			"a container that began between the readings counts from its start",
			[]sample{told(t, 0, "10 500"), told(t, 10, "11 600", "web main 6 2 120")},
			"node 100m 600 10s; web/main 500m 120 4s",
		},
		{
			"a container that began anew is another",
			[]sample{told(t, 0, "10 500", "web main -60 50 100"), told(t, 10, "11 600", "web main 8 1 120")},
			"node 100m 600 10s; web/main 500m 120 2s",
		},
		{
			"a part is not the pod",
			[]sample{told(t, 0, "10 500", "web main -60 1 100"), told(t, 10, "11 600", "web main -60 2 120", "web side 9.5 1 10")},
			"node 100m 600 10s; web -",
		},
		{
			"a container that is not measured", []sample{told(t, 0, "10 500"), told(t, 10, "11 600", "web main 1 2 120", "web side 1 - 10")},
			"node 100m 600 10s; web -",
		},
		{
			"the window is the least of ten seconds and more",
			[]sample{
				told(t, 0, "10 500", "web main -60 1 100"), told(t, 6, "11 600", "web main -60 9 120"),
				told(t, 12, "12 600", "web main -60 9 120"), told(t, 18, "13 700", "web main -60 10.2 130"),
			},
			"node 166m 700 12s; web/main 100m 130 12s",
		},
		{
			"what is old says nothing of now",
			[]sample{told(t, 0, "10 500", "web main -60 1 100"), told(t, 600, "11 600", "web main -60 9 120")},
			"node -; web -",
		},
		{
			"a machine that began anew", []sample{told(t, 0, "10 500"), told(t, 10, "1 600")}, "node -; web -",
		},
	} {
		var kept []sample
		for _, s := range c.samples {
			kept = push(kept, s)
		}
		if got := say(loadOf(map[string][]sample{"a": kept}), "web"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"resource_scrape_error 1\n": "they lack the node's own processor time or memory",
		"<html>":                    "read a node's metrics: text format parsing error",
	} {
		if _, err := parse([]byte(text), origin); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
