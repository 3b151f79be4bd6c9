package plugin

import "github.com/skiff-sh/skiff/scheduler/snapshot"

// HostPorts keeps two pods from using the same port of a node.
func HostPorts() Filter {
	rejected := []Reason{"node(s) didn't have free ports for the requested pod ports"}
	return Filter{
		Name:  "NodePorts",
		Wakes: snapshot.NodeAdded | snapshot.PodFreed,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			if len(pod.Ports) == 0 {
				return Check{}
			}
			return Check{Reject: func(n *snapshot.Node) []Reason {
				for _, used := range n.Ports {
					for _, wanted := range pod.Ports {
						if wanted.Conflicts(used) {
							return rejected
						}
					}
				}
				return nil
			}}
		},
	}
}
