package snapshot

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Image is where an image is. It belongs to its snapshot.
type Image struct {
	Nodes int // how many have it
	Turn  int // later than that of any image before its latest change
}

// Image returns where the image of that full name is, or nil for nowhere.
func (s *Snapshot) Image(name string) *Image { return s.images[name] }

// ImageName returns the name under which nodes report the image of a container.
func ImageName(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		return name + ":latest"
	}
	return name
}

// setImages takes over the images that a node has.
func (s *Snapshot) setImages(n *Node, list []corev1.ContainerImage) {
	if len(list) == 0 && len(n.Images) == 0 {
		return
	}
	now := make(map[string]int64, len(list))
	for i := range list {
		for _, name := range list[i].Names {
			now[name] = list[i].SizeBytes
		}
	}
	changed := false
	for name := range n.Images {
		if _, still := now[name]; !still {
			s.countImage(name, -1)
			changed = true
		}
	}
	for name, size := range now {
		old, known := n.Images[name]
		if !known {
			s.countImage(name, 1)
		}
		changed = changed || !known || old != size
	}
	n.Images = now
	if changed && n.Object != nil && n.Slot < len(s.nodes) && s.nodes[n.Slot] == n {
		s.log.add(Change{Node: n})
	}
}

func (s *Snapshot) countImage(name string, by int) {
	i := s.images[name]
	if i == nil {
		i = &Image{}
		s.images[name] = i
	}
	i.Nodes += by
	s.imageTurn++
	i.Turn = s.imageTurn
	if i.Nodes == 0 {
		delete(s.images, name)
	}
}
