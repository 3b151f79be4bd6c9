package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestAdmit(t *testing.T) {
	node := &corev1.Node{}
	node.Name, node.Labels = "n", map[string]string{"kubernetes.io/os": "linux", "zone": "a"}
	node.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("2"),
	}
	request := func(cpu, memory string) *corev1.Pod {
		return podWith(corev1.Container{Resources: corev1.ResourceRequirements{Requests: list2(cpu, memory)}})
	}
	with := func(change func(*corev1.Pod)) *corev1.Pod {
		pod := podWith(corev1.Container{})
		change(pod)
		return pod
	}
	port := func(n int32, ip string) *corev1.Pod {
		return podWith(corev1.Container{Ports: []corev1.ContainerPort{{HostPort: n, ContainerPort: n, HostIP: ip}}})
	}
	tainted := node.DeepCopy()
	tainted.Spec.Taints = []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectNoSchedule}, {Key: "k", Effect: corev1.TaintEffectNoExecute}}
	for _, tc := range []struct {
		name   string
		pod    *corev1.Pod
		others []*corev1.Pod
		node   *corev1.Node
		want   *Refusal
	}{
		{"fits", request("1", "1Gi"), []*corev1.Pod{request("1", "")}, node, nil},
		{"processor", request("1500m", ""), []*corev1.Pod{request("1", "")}, node, &Refusal{"OutOfcpu", "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"}},
		{"memory", request("", "2Gi"), nil, node, &Refusal{"OutOfmemory", "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"}},
		{"count", request("", ""), []*corev1.Pod{request("", ""), request("", "")}, node, &Refusal{"OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2"}},
		{"selector", with(func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "b"} }), nil, node, &Refusal{"NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"}},
		{"selector met", with(func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "a"} }), nil, node, nil},
		{"port", port(80, ""), []*corev1.Pod{port(80, "127.0.0.1")}, node, &Refusal{"NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"}},
		{"port of another address", port(80, "127.0.0.2"), []*corev1.Pod{port(80, "127.0.0.1")}, node, nil},
		{"taint", request("", ""), nil, tainted, &Refusal{"TaintToleration", "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"}},
		{"taint tolerated", with(func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} }), nil, tainted, nil},
		{"safe sysctl", with(func(p *corev1.Pod) { p.Spec.SecurityContext = sysctls("kernel/shm_rmid_forced", "net.ipv4.tcp_rmem") }), nil, node, nil},
		{"unsafe sysctl", with(func(p *corev1.Pod) { p.Spec.SecurityContext = sysctls("kernel.msgmax") }), nil, node, &Refusal{"SysctlForbidden", `forbidden sysctl: "kernel.msgmax" not allowlisted`}},
		{"sysctl of the node", with(func(p *corev1.Pod) { p.Spec.SecurityContext, p.Spec.HostNetwork = sysctls("net.ipv4.tcp_rmem"), true }), nil, node, &Refusal{"SysctlForbidden", `forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host Net enabled`}},
		{"system", with(func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }), nil, node, &Refusal{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Admit(tc.pod, tc.others, tc.node)
			if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestValidateNamesFieldValueAndMend(t *testing.T) {
	err := Config{Root: "here", Addresses: []string{"x"}, PodCIDRs: []string{"y"}, MaxPods: -1}.Validate()
	want := `Name: is empty; give the node's name
Root: "here" is not an absolute path; give one
Addresses: "x" is not an IP address; give one like 10.0.0.1
PodCIDRs: "y" is not an address range; give one like 10.42.0.0/24
MaxPods: -1 is below 0; give the most pods the node may have`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func sysctls(names ...string) *corev1.PodSecurityContext {
	sc := &corev1.PodSecurityContext{}
	for _, name := range names {
		sc.Sysctls = append(sc.Sysctls, corev1.Sysctl{Name: name, Value: "1"})
	}
	return sc
}
