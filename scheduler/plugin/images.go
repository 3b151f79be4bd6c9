package plugin

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// Between these sizes, in bytes, and the latter for each image, having the
// images of a pod counts: upstream's values.
const (
	smallImages = 23 << 20
	largeImage  = 1000 << 20
)

// ImageLocality prefers nodes that have the pod's images, the more the larger
// and the wider spread they are: else all pods of an image would go to the one
// node that has it.
func ImageLocality() Score {
	return Score{Name: "ImageLocality", Weight: 1, For: func(pod *snapshot.Pod, s *snapshot.Snapshot) Rating {
		names := imagesOf(&pod.Object.Spec)
		if len(names) == 0 {
			return Rating{}
		}
		state := func() (latest, known, nodes int) {
			for _, name := range names {
				if i := s.Image(name); i != nil {
					latest, known = max(latest, i.Turn), known+1
				}
			}
			return latest, known, len(s.Nodes())
		}
		latest, known, nodes := state()
		stale := func() bool {
			l, k, n := state()
			return l != latest || k != known || k > 0 && n != nodes
		}
		if known == 0 {
			return Rating{Stale: stale}
		}
		return Rating{Stale: stale, Value: func(n *snapshot.Node) int64 {
			var sum int64
			for _, name := range names {
				if size, there := n.Images[name]; there {
					sum += int64(float64(size) * (float64(s.Image(name).Nodes) / float64(nodes)))
				}
			}
			most := int64(largeImage * len(names))
			return MaxScore * (min(max(sum, smallImages), most) - smallImages) / (most - smallImages)
		}}
	}}
}

// imagesOf returns the names of all images that the pod needs, each as often as
// it is named.
func imagesOf(spec *corev1.PodSpec) (names []string) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			names = append(names, snapshot.ImageName(containers[i].Image))
		}
	}
	for i := range spec.Volumes {
		if image := spec.Volumes[i].Image; image != nil {
			names = append(names, snapshot.ImageName(image.Reference))
		}
	}
	slices.Sort(names)
	return names
}
