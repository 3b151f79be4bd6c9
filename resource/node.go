package resource

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Nodes is the kind Node.
var Nodes = Define(Kind[*corev1.Node]{
	Version: "v1", Kind: "Node", Resource: "nodes", Short: []string{"no"}, Prefix: "minions",
	NewStatus:      true,
	Recheck:        AsNewAndUpdate,
	Warn:           warnNode,
	Prepare:        prepareNode,
	Validate:       validateNode,
	Default:        defaultNode,
	Status:         func(to, from *corev1.Node) { to.Status = from.Status },
	Attached:       []Attached{{Name: "proxy", Kind: coreKind("NodeProxyOptions"), Verbs: proxyVerbs, Paths: true}},
	Columns:        nodeColumns,
	NotByNamespace: true,
	Fields: map[string]func(*corev1.Node) string{
		"spec.unschedulable": func(n *corev1.Node) string { return strconv.FormatBool(n.Spec.Unschedulable) },
	},
})

func defaultNode(n *corev1.Node) {
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	roundUp(n.Status.Capacity)
	roundUp(n.Status.Allocatable)
	switch s := &n.Spec; {
	case s.PodCIDR == "" && len(s.PodCIDRs) > 0:
		s.PodCIDR = s.PodCIDRs[0]
	case s.PodCIDR != "" && (len(s.PodCIDRs) == 0 || s.PodCIDRs[0] != s.PodCIDR):
		s.PodCIDRs = []string{s.PodCIDR}
	}
}

var nodeColumns = []Column[*corev1.Node]{
	nameColumn[*corev1.Node](),
	column("Status", "The status of the node", func(n *corev1.Node) any { return nodeStatus(n) }),
	column("Roles", "The roles of the node", func(n *corev1.Node) any { return orNone(strings.Join(nodeRoles(n), ",")) }),
	ageColumn[*corev1.Node](),
	column("Version", corev1.NodeSystemInfo{}.SwaggerDoc()["kubeletVersion"],
		func(n *corev1.Node) any { return n.Status.NodeInfo.KubeletVersion }),
	wideColumn("Internal-IP", corev1.NodeStatus{}.SwaggerDoc()["addresses"],
		func(n *corev1.Node) any { return orNone(NodeAddress(n, corev1.NodeInternalIP)) }),
	wideColumn("External-IP", corev1.NodeStatus{}.SwaggerDoc()["addresses"],
		func(n *corev1.Node) any { return orNone(NodeAddress(n, corev1.NodeExternalIP)) }),
	wideColumn("OS-Image", corev1.NodeSystemInfo{}.SwaggerDoc()["osImage"],
		func(n *corev1.Node) any { return cmp.Or(n.Status.NodeInfo.OSImage, "<unknown>") }),
	wideColumn("Kernel-Version", corev1.NodeSystemInfo{}.SwaggerDoc()["kernelVersion"], func(n *corev1.Node) any { return nodeKernel(n) }),
	wideColumn("Container-Runtime", corev1.NodeSystemInfo{}.SwaggerDoc()["containerRuntimeVersion"],
		func(n *corev1.Node) any { return cmp.Or(n.Status.NodeInfo.ContainerRuntimeVersion, "<unknown>") }),
}

func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	if c := NodeCondition(n, corev1.NodeReady); c != nil {
		status = "NotReady"
		if c.Status == corev1.ConditionTrue {
			status = "Ready"
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

// nodeRoles returns the roles that a node's labels give it, in order.
func nodeRoles(n *corev1.Node) []string {
	var roles []string
	for key, value := range n.Labels {
		role, ok := strings.CutPrefix(key, "node-role.kubernetes.io/")
		if !ok && key == "kubernetes.io/role" {
			role = value
		} else if !ok {
			continue
		}
		if role != "" {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

func nodeKernel(n *corev1.Node) string {
	kernel := cmp.Or(n.Status.NodeInfo.KernelVersion, "<unknown>")
	if arch := n.Status.NodeInfo.Architecture; arch != "" {
		kernel += " (" + arch + ")"
	}
	return kernel
}

// NodeAddress returns the node's first address of that type, or "".
func NodeAddress(n *corev1.Node, kind corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == kind {
			return a.Address
		}
	}
	return ""
}

// prepareNode clears the fields of dynamic kubelet configuration, which is gone,
// and of preemption for resizes, which is off by default in 1.37.
func prepareNode(req Request, n, old *corev1.Node) {
	if old == nil || old.Spec.ConfigSource == nil {
		n.Spec.ConfigSource = nil
	}
	if old == nil || old.Status.Config == nil {
		n.Status.Config = nil
	}
	if old == nil || old.Spec.PodPreemptionPolicy == nil {
		n.Spec.PodPreemptionPolicy = nil
	}
}

func validateNode(req Request, n, old *corev1.Node) field.ErrorList {
	switch {
	case old == nil:
		return validate.Node(n)
	case req.Subresource == "status":
		return validate.NodeUpdate(n, old)
	}
	return append(validate.Node(n), validate.NodeUpdate(n, old)...)
}
