package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/view"
)

// TestManifests plays scripts of files that come and go, and of what the API shows.
// "go test -run TestManifests -update" rewrites what follows from each line.
func TestManifests(t *testing.T) {
	scripts(t, "testdata/manifest", func(_ *testing.T, script string) string { return playManifests(script) })
}

// folder is a node's static pods, and what shows them in the API.
type folder struct {
	files     map[string][]byte
	manifests Manifests
	shown     map[view.Key]*corev1.Pod
	out       strings.Builder
}

func playManifests(script string) string {
	f := &folder{files: map[string][]byte{}, shown: map[view.Key]*corev1.Pod{}}
	var body strings.Builder
	var words []string
	flush := func() {
		if words != nil {
			f.happen(words[0], words[1], body.String())
		}
		words = nil
		body.Reset()
	}
	for line := range strings.Lines(script) {
		if text, ok := strings.CutPrefix(line, "\t"); ok {
			body.WriteString(text)
			f.out.WriteString(line)
			continue
		}
		flush()
		switch {
		case strings.HasPrefix(line, ">"):
			words = strings.Fields(line[1:])
			f.out.WriteString(line)
		case strings.HasPrefix(line, "#"), line == "\n":
			f.out.WriteString(line)
		}
	}
	flush()
	return f.out.String()
}

func (f *folder) happen(what, name, body string) {
	namespace, pod, _ := strings.Cut(name, "/")
	key := view.Key{Namespace: namespace, Name: pod}
	switch what {
	case "write":
		f.files[name] = []byte(body)
	case "remove":
		delete(f.files, name)
	case "shown":
		f.shown[key] = MirrorOf(f.manifests.Pods()[key], &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}})
	case "deleting":
		f.shown[key].DeletionTimestamp = &metav1.Time{}
	case "gone":
		delete(f.shown, key)
	}
	var problems []string
	f.manifests, problems = f.manifests.Next(f.files, "node-a")
	for _, p := range problems {
		fmt.Fprintf(&f.out, "problem %s\n", p)
	}
	pods := f.manifests.Pods()
	for _, key := range slices.SortedFunc(maps.Keys(pods), view.Key.Compare) {
		pod := pods[key]
		fmt.Fprintf(&f.out, "run %s %s", key, pod.UID[:6])
		if pod.Spec.Priority != nil {
			fmt.Fprintf(&f.out, " priority=%d", *pod.Spec.Priority)
		}
		fmt.Fprintf(&f.out, " mirror=%s\n", Mirror(pod, f.shown[key]))
	}
	for key, mirror := range f.shown {
		if pods[key] == nil {
			fmt.Fprintf(&f.out, "end %s mirror=%s\n", key, Mirror(nil, mirror))
		}
	}
}
