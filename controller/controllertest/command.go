package controllertest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// command carries out one command of a script and returns what it prints.
func (w *World) command(line, input string) string {
	w.t.Helper()
	words := strings.Fields(line)
	switch words[0] {
	case "apply":
		w.Apply(input)
		return ""
	case "settle":
		return w.Settle()
	case "kubelet":
		w.Kubelet()
		return w.Settle()
	case "fail":
		w.Fail()
		return w.Settle()
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		return w.Advance(d)
	}
	info := w.info(words[1])
	switch words[0] {
	case "exit":
		return w.exit(key(info, words[2]), words[3])
	case "list":
		var out strings.Builder
		for e := range w.View().Entries(info, "", view.Key{}) {
			fmt.Fprintln(&out, e.Key)
		}
		return out.String()
	case "show":
		return w.show(info, words[2], words[3:])
	case "delete":
		w.Remove(info, key(info, words[2]))
		return ""
	case "do":
		return w.do(info, key(info, words[2]), words[3:])
	}
	w.t.Fatalf("command %q is not known", line)
	return ""
}

// exit ends the pods of a key whose last name is a prefix.
func (w *World) exit(prefix view.Key, code string) string {
	w.t.Helper()
	n, err := strconv.ParseInt(code, 10, 32)
	if err != nil {
		w.t.Fatalf("exit code: %v", err)
	}
	for pod := range view.List(w.View(), resource.Pods, prefix.Namespace) {
		if strings.HasPrefix(pod.Name, prefix.Name) && !resource.PodTerminal(pod) {
			w.Exit(pod, int32(n))
		}
	}
	return w.Settle()
}

func (w *World) do(info *resource.Info, key view.Key, policy []string) string {
	op := client.Op{Verb: resource.Delete, Kind: info, Namespace: key.Namespace, Name: key.Name, Delete: &metav1.DeleteOptions{}}
	if len(policy) > 0 {
		p := metav1.DeletionPropagation(policy[0])
		op.Delete.PropagationPolicy = &p
	}
	if _, err := w.Client.Do(context.Background(), op); err != nil {
		return err.Error() + "\n"
	}
	return ""
}

func (w *World) info(name string) *resource.Info {
	w.t.Helper()
	for _, info := range resource.All() {
		if info.GVR.Resource == name {
			return info
		}
	}
	w.t.Fatalf("kind %q is not known", name)
	return nil
}

func key(info *resource.Info, name string) view.Key {
	ns, name, namespaced := strings.Cut(name, "/")
	if !namespaced {
		ns, name = "", ns
		if info.Namespaced {
			ns = "default"
		}
		return view.Key{Namespace: ns, Name: name}
	}
	return view.Key{Namespace: ns, Name: name}
}

// show prints an object, or one field of it, as YAML.
func (w *World) show(info *resource.Info, name string, path []string) string {
	e := w.View().Entry(info, key(info, name))
	if e == nil {
		return "not found\n"
	}
	obj := e.Object.DeepCopyObject().(resource.Object)
	obj.SetResourceVersion("")
	obj.SetCreationTimestamp(metav1.Time{})
	data, err := json.Marshal(obj)
	if err != nil {
		return err.Error()
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err.Error()
	}
	for _, field := range path {
		m, _ := value.(map[string]any)
		value = m[field]
	}
	out, _ := yaml.Marshal(value)
	return string(out)
}
