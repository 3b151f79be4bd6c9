package plugin

import (
	"fmt"

	"github.com/skiff-sh/skiff/scheduler/snapshot"
)

// HostPorts keeps two pods from using the same port of a node.
func HostPorts() Filter {
	return Filter{
		Name:  "NodePorts",
		Wakes: snapshot.NodeAdded | snapshot.PodFreed,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			if len(pod.Ports) == 0 {
				return Check{}
			}
			return Check{
				Reject: func(n *snapshot.Node) Code {
					if taken(pod.Ports, n) != nil {
						return 1
					}
					return 0
				},
				Explain: func(n *snapshot.Node, _ Code) []Reason {
					r := Reason{Kind: HostPort, Text: "node(s) didn't have free ports for the requested pod ports"}
					if p := taken(pod.Ports, n); p != nil {
						r.Term = fmt.Sprintf("%d/%s", p.Number, p.Protocol)
					}
					return []Reason{r}
				},
			}
		},
	}
}

// taken returns a wanted port that is in use.
func taken(wanted []snapshot.Port, n *snapshot.Node) *snapshot.Port {
	for _, used := range n.Ports {
		for i := range wanted {
			if wanted[i].Conflicts(used) {
				return &wanted[i]
			}
		}
	}
	return nil
}
