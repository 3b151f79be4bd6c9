package node

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func p[T any](v T) *T { return &v }

func list2(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return out
}

func podWith(containers ...corev1.Container) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "ab-cd"}}
	pod.Spec.Containers = containers
	return pod
}

func TestClassesAndControlGroups(t *testing.T) {
	node := Host{CgroupRoot: "kubepods"}
	for _, tc := range []struct {
		name       string
		containers []corev1.Container
		class      corev1.PodQOSClass
		group      string
		oom        int64
	}{
		{"nothing", []corev1.Container{{}}, corev1.PodQOSBestEffort, "/kubepods/besteffort/podab-cd", 1000},
		{"limits alone", []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: list2("1", "1Gi")}}}, corev1.PodQOSGuaranteed, "/kubepods/podab-cd", -997},
		{"requests", []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list2("", "1Gi")}}}, corev1.PodQOSBurstable, "/kubepods/burstable/podab-cd", 900},
		{"one without", []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: list2("1", "1Gi")}}, {}}, corev1.PodQOSBurstable, "/kubepods/burstable/podab-cd", 999},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pod := podWith(tc.containers...)
			if got := QOSClass(pod); got != tc.class {
				t.Errorf("class %s, want %s", got, tc.class)
			}
			if got := CgroupParent(pod, node); got != tc.group {
				t.Errorf("group %s, want %s", got, tc.group)
			}
			c := &pod.Spec.Containers[len(pod.Spec.Containers)-1]
			if got := containerResources(pod, c, Host{Memory: 10 << 30, MayLowerOOM: true}).OomScoreAdj; got != tc.oom {
				t.Errorf("score %d, want %d", got, tc.oom)
			}
			if got := containerResources(pod, c, Host{Memory: 10 << 30}).OomScoreAdj; got != max(tc.oom, 0) {
				t.Errorf("score where it may not be lowered %d", got)
			}
		})
	}
}

func TestClassesWeighWhatTheirPodsAskFor(t *testing.T) {
	asks := func(cpu string) *corev1.Pod {
		return podWith(corev1.Container{Resources: corev1.ResourceRequirements{Requests: list2(cpu, "1Mi")}})
	}
	got := classShares([]*corev1.Pod{asks("250m"), asks("500m"), podWith(corev1.Container{}),
		podWith(corev1.Container{Resources: corev1.ResourceRequirements{Limits: list2("4", "1Gi")}})})
	if got[corev1.PodQOSBurstable] != 768 || got[corev1.PodQOSBestEffort] != 2 || len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := classShares(nil); got[corev1.PodQOSBurstable] != 2 {
		t.Errorf("without pods %v", got)
	}
}

// TestUnified: out of memory, a container ends as a whole, and it does not swap.
func TestUnified(t *testing.T) {
	pod := podWith(corev1.Container{})
	for _, tc := range []struct {
		host        Host
		group, swap string
	}{
		{Host{}, "", ""},
		{Host{Unified: true}, "1", ""},
		{Host{Unified: true, LimitsSwap: true}, "1", "0"},
	} {
		got := containerResources(pod, &pod.Spec.Containers[0], tc.host).Unified
		if got["memory.oom.group"] != tc.group || got["memory.swap.max"] != tc.swap {
			t.Errorf("%+v: %v", tc.host, got)
		}
	}
}

func TestContainerResources(t *testing.T) {
	pod := podWith(corev1.Container{Resources: corev1.ResourceRequirements{Requests: list2("250m", "64Mi"), Limits: list2("500m", "128Mi")}})
	r := containerResources(pod, &pod.Spec.Containers[0], Host{})
	if r.CpuShares != 256 || r.CpuQuota != 50000 || r.CpuPeriod != 100000 || r.MemoryLimitInBytes != 128<<20 {
		t.Errorf("%+v", r)
	}
	pod = podWith(corev1.Container{})
	if r := containerResources(pod, &pod.Spec.Containers[0], Host{}); r.CpuShares != 2 || r.CpuQuota != 0 || r.MemoryLimitInBytes != 0 {
		t.Errorf("%+v", r)
	}
	pod = podWith(corev1.Container{Resources: corev1.ResourceRequirements{Limits: list2("1m", "")}})
	if r := containerResources(pod, &pod.Spec.Containers[0], Host{}); r.CpuShares != 2 || r.CpuQuota != 1000 {
		t.Errorf("the least quota: %+v", r)
	}
	pod = podWith(corev1.Container{Resources: corev1.ResourceRequirements{Limits: list2("1", "1Gi")}}, corev1.Container{Resources: corev1.ResourceRequirements{Limits: list2("1", "")}})
	if r := podResources(pod); r.CpuQuota != 200000 || r.MemoryLimitInBytes != 0 {
		t.Errorf("a pod's limits hold only where every container has one: %+v", r)
	}
}

func TestConfigs(t *testing.T) {
	pod := podWith(corev1.Container{
		Name: "c", Image: "img", Command: []string{"run", "$(X)"}, Args: []string{"$$(X)", "$(Y)"}, TTY: true, Stdin: true,
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		Ports: []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080}},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: p(int64(7)), ReadOnlyRootFilesystem: p(true), AllowPrivilegeEscalation: p(false),
			Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}, Drop: []corev1.Capability{"ALL"}},
		},
	})
	pod.Labels, pod.Annotations = map[string]string{"app": "x"}, map[string]string{"note": "y"}
	pod.Spec.TerminationGracePeriodSeconds = p(int64(30))
	pod.Spec.ShareProcessNamespace = p(true)
	pod.Spec.Subdomain, pod.Spec.SetHostnameAsFQDN = "sub", p(true)
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsUser: p(int64(5)), RunAsGroup: p(int64(6)), FSGroup: p(int64(9)), SupplementalGroups: []int64{10},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		Sysctls:        []corev1.Sysctl{{Name: "net.core.somaxconn", Value: "1"}},
	}
	h := Host{LogRoot: "/logs", CgroupRoot: "kubepods", DNS: DNS{Domain: "cluster.local"}}
	s := SandboxConfig(pod, 3, h)
	if s.Metadata.Attempt != 3 || s.Hostname != "p.sub.ns.svc.cluster.local" || s.LogDirectory != "/logs/ns_p_ab-cd" || len(s.PortMappings) != 0 {
		t.Errorf("%+v", s)
	}
	if s.Labels["app"] != "x" || s.Labels["io.kubernetes.pod.uid"] != "ab-cd" || s.Annotations["note"] != "y" {
		t.Errorf("%v %v", s.Labels, s.Annotations)
	}
	sec := s.Linux.SecurityContext
	if sec.RunAsUser.Value != 5 || !slices.Equal(sec.SupplementalGroups, []int64{9, 10}) || sec.NamespaceOptions.Pid != runtimeapi.NamespaceMode_POD || s.Linux.Sysctls["net.core.somaxconn"] != "1" {
		t.Errorf("%+v", s.Linux)
	}
	c, err := ContainerConfig(pod, &pod.Spec.Containers[0], Run{Attempt: 2, Image: "sha256:1", Env: []Env{{"X", "1"}}}, h)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Command, []string{"run", "1"}) || !slices.Equal(c.Args, []string{"$(X)", "$(Y)"}) || c.LogPath != "c/2.log" || c.Image.UserSpecifiedImage != "img" {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]string{
		"io.kubernetes.container.restartCount": "2", "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
		"io.kubernetes.pod.terminationGracePeriod": "30", "io.kubernetes.container.hash": ContainerHash(&pod.Spec.Containers[0]),
	} {
		if c.Annotations[name] != want {
			t.Errorf("annotation %s is %q, want %q", name, c.Annotations[name], want)
		}
	}
	got := c.Linux.SecurityContext
	if got.RunAsUser.Value != 7 || got.RunAsGroup.Value != 6 || !got.ReadonlyRootfs || !got.NoNewPrivs || got.Seccomp.ProfileType != runtimeapi.SecurityProfile_RuntimeDefault ||
		!slices.Equal(got.Capabilities.DropCapabilities, []string{"ALL"}) || !slices.Contains(got.MaskedPaths, "/proc/kcore") {
		t.Errorf("%+v", got)
	}
}

func TestNonRoot(t *testing.T) {
	for want, run := range map[string]Run{
		"":                              {ImageUID: p(int64(1000))},
		"image will run as root":        {ImageUID: p(int64(0))},
		"non-numeric user (someone)":    {ImageUser: "someone"},
		"runAsUser breaks non-root pol": {ImageUID: p(int64(-1))},
	} {
		c := corev1.Container{Name: "c", SecurityContext: &corev1.SecurityContext{RunAsNonRoot: p(true)}}
		if strings.HasPrefix(want, "runAsUser") {
			c.SecurityContext.RunAsUser = p(int64(0))
		}
		_, err := ContainerConfig(podWith(c), &c, run, Host{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestDNS(t *testing.T) {
	d := DNS{Servers: []string{"10.96.0.10"}, Domain: "cluster.local", Host: ParseResolv("# host\nnameserver 1.1.1.1\nnameserver 2.2.2.2\nsearch a.example b.example.\noptions timeout:1\n")}
	for _, tc := range []struct {
		policy corev1.DNSPolicy
		host   bool
		own    *corev1.PodDNSConfig
		want   string
	}{
		{corev1.DNSClusterFirst, false, nil, "10.96.0.10|ns.svc.cluster.local svc.cluster.local cluster.local a.example b.example|ndots:5"},
		{corev1.DNSClusterFirst, true, nil, "1.1.1.1 2.2.2.2|a.example b.example|timeout:1"},
		{corev1.DNSClusterFirstWithHostNet, true, nil, "10.96.0.10|ns.svc.cluster.local svc.cluster.local cluster.local a.example b.example|ndots:5"},
		{corev1.DNSDefault, false, nil, "1.1.1.1 2.2.2.2|a.example b.example|timeout:1"},
		{corev1.DNSNone, false, &corev1.PodDNSConfig{Nameservers: []string{"3.3.3.3"}, Searches: []string{"x"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: p("2")}, {Name: "edns0"}}}, "3.3.3.3|x|ndots:2 edns0"},
		{corev1.DNSClusterFirst, false, &corev1.PodDNSConfig{Nameservers: []string{"3.3.3.3", "4.4.4.4", "5.5.5.5"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: p("2")}}}, "10.96.0.10 3.3.3.3 4.4.4.4|ns.svc.cluster.local svc.cluster.local cluster.local a.example b.example|ndots:2"},
	} {
		pod := podWith()
		pod.Spec.DNSPolicy, pod.Spec.HostNetwork, pod.Spec.DNSConfig = tc.policy, tc.host, tc.own
		got := PodDNS(pod, d)
		if text := strings.Join(got.Servers, " ") + "|" + strings.Join(got.Searches, " ") + "|" + strings.Join(got.Options, " "); text != tc.want {
			t.Errorf("%s: %s, want %s", tc.policy, text, tc.want)
		}
	}
}

func TestHostsFile(t *testing.T) {
	pod := podWith()
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}}
	pod.Spec.Subdomain = "sub"
	got := HostsFile(Facts{Pod: pod, PodIPs: []string{"10.1.0.5"}}, "cluster.local", "node's own")
	if !strings.HasSuffix(got, "10.1.0.5\tp.sub.ns.svc.cluster.local\tp\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n") || strings.Contains(got, "own") {
		t.Errorf("%s", got)
	}
	pod.Spec.HostNetwork = true
	if got := HostsFile(Facts{Pod: pod}, "cluster.local", "node's own\n"); !strings.Contains(got, "node's own\n") || strings.Contains(got, "\tp\n") {
		t.Errorf("%s", got)
	}
}

func TestUnused(t *testing.T) {
	images := []*runtimeapi.Image{
		{Id: "sha256:1", RepoTags: []string{"docker.io/library/busybox:latest"}},
		{Id: "sha256:2", RepoTags: []string{"example.com/a:1"}},
		{Id: "sha256:3", RepoDigests: []string{"example.com/b@sha256:9"}},
		{Id: "sha256:4", Pinned: true},
		{Id: "sha256:5", RepoTags: []string{"example.com/c:1"}},
	}
	var got []string
	for _, i := range Unused(images, []string{"", "busybox", "example.com/a:1", "example.com/b@sha256:9"}) {
		got = append(got, i.Id)
	}
	if !slices.Equal(got, []string{"sha256:5"}) {
		t.Errorf("%v", got)
	}
}
