package resource_test

import (
	"os"
	"strings"
	"testing"

	"github.com/skiff-sh/skiff/resource"
)

// BenchmarkCreatePod is what a pod with everything costs, beside decoding.
func BenchmarkCreatePod(b *testing.B) {
	data, err := os.ReadFile("testdata/pod.txt")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "## much\n")
	input, _, _ := strings.Cut(rest, "=>\n")
	info, pod := decode(&testing.T{}, input)
	b.ReportAllocs()
	for b.Loop() {
		obj := pod.DeepCopyObject().(resource.Object)
		info.Default(obj)
		info.Prepare(resource.Request{Verb: resource.Create}, obj, nil)
		if errs := info.Validate(resource.Request{Verb: resource.Create}, obj, nil); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
}
