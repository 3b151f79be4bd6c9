package plugin

import "github.com/skiff-sh/skiff/scheduler/snapshot"

// NodeName holds a pod to the node that it names. Such pods need no scheduler;
// the filter is there for questions of what would fit where.
func NodeName() Filter {
	return Filter{
		Name:  "NodeName",
		Wakes: snapshot.NodeAdded,
		For: func(pod *snapshot.Pod, _ *snapshot.Snapshot) Check {
			name := pod.Object.Spec.NodeName
			if name == "" {
				return Check{}
			}
			return Check{
				Reject: func(n *snapshot.Node) Code {
					if n.Name != name {
						return Unresolvable | 1
					}
					return 0
				},
				Explain: func(*snapshot.Node, Code) []Reason {
					return []Reason{{Kind: NotNamed, Text: "node(s) didn't match the requested node name", Term: name}}
				},
			}
		},
	}
}
