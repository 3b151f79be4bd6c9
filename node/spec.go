package node

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The labels and annotations that tie the runtime's objects to pods, as
// upstream writes them: tools that read the runtime know these.
const (
	podNameLabel       = "io.kubernetes.pod.name"
	podNamespaceLabel  = "io.kubernetes.pod.namespace"
	podUIDLabel        = "io.kubernetes.pod.uid"
	containerNameLabel = "io.kubernetes.container.name"

	hashAnnotation          = "io.kubernetes.container.hash"
	restartCountAnnotation  = "io.kubernetes.container.restartCount"
	messagePathAnnotation   = "io.kubernetes.container.terminationMessagePath"
	messagePolicyAnnotation = "io.kubernetes.container.terminationMessagePolicy"
	preStopAnnotation       = "io.kubernetes.container.preStopHandler"
	memoryAnnotation        = "io.kubernetes.container.memoryRequest" // ours: bytes
	portsAnnotation         = "io.kubernetes.container.ports"
	podGraceAnnotation      = "io.kubernetes.pod.terminationGracePeriod"
	deletionGraceAnnotation = "io.kubernetes.pod.deletionGracePeriod"
)

// Host is what of the node goes into runtime configurations.
type Host struct {
	DNS DNS
	// LogRoot is the folder of pods' logs.
	LogRoot string
	// CgroupRoot is the control group of all pods.
	CgroupRoot string
	// Unified says that control groups are of version 2 alone, and LimitsSwap that
	// they can limit swap there.
	Unified, LimitsSwap bool
	Memory              int64 // bytes
	// MayLowerOOM says that the agent may make processes less likely to be killed
	// than itself (CAP_SYS_RESOURCE).
	MayLowerOOM bool
	// MaskedCPUs are further paths in /sys to hide: the processors' throttle files.
	MaskedCPUs []string
	// SeccompRoot is the folder of Localhost profiles.
	SeccompRoot string
}

// LogFolder returns the folder of a pod's logs below root.
func LogFolder(root string, pod *corev1.Pod) string {
	return filepath.Join(root, fmt.Sprintf("%s_%s_%s", pod.Namespace, pod.Name, pod.UID))
}

// LogFile returns the path of a container run's log below its pod's folder.
func LogFile(container string, attempt int) string {
	return filepath.Join(container, strconv.Itoa(attempt)+".log")
}

// ContainerHash identifies what of a container's definition needs a new
// container when it changes: its name and image.
func ContainerHash(c *corev1.Container) string {
	h := fnv.New32a()
	data, err := json.Marshal(map[string]string{"name": c.Name, "image": c.Image})
	if err != nil {
		panic(fmt.Sprintf("marshal two strings: %v", err))
	}
	h.Write(data)
	return strconv.FormatUint(uint64(h.Sum32()), 16)
}

// SandboxConfig returns the configuration of a pod's sandbox. Host ports are not
// in it: the proxy serves them.
func SandboxConfig(pod *corev1.Pod, attempt int, h Host) *runtimeapi.PodSandboxConfig {
	config := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: uint32(attempt)},
		LogDirectory: LogFolder(h.LogRoot, pod),
		DnsConfig:    PodDNS(pod, h.DNS),
		Labels:       podLabels(pod),
		Annotations:  pod.Annotations,
	}
	if !pod.Spec.HostNetwork {
		name, domain := Hostname(pod, h.DNS.Domain)
		if fqdn := pod.Spec.SetHostnameAsFQDN; fqdn != nil && *fqdn && domain != "" {
			name += "." + domain
		}
		config.Hostname = name
	}
	linux := &runtimeapi.LinuxPodSandboxConfig{
		CgroupParent: CgroupParent(pod, h),
		Sysctls:      map[string]string{},
		SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
			Privileged:       anyPrivileged(pod),
			Seccomp:          &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
			NamespaceOptions: namespaces(pod),
		},
		Resources: podResources(pod),
	}
	if sc := pod.Spec.SecurityContext; sc != nil {
		for _, s := range sc.Sysctls {
			linux.Sysctls[s.Name] = s.Value
		}
		linux.SecurityContext.RunAsUser = int64Value(sc.RunAsUser)
		linux.SecurityContext.RunAsGroup = int64Value(sc.RunAsGroup)
		linux.SecurityContext.SupplementalGroups = groups(sc)
		linux.SecurityContext.SupplementalGroupsPolicy = groupsPolicy(sc)
		linux.SecurityContext.SelinuxOptions = selinux(sc.SELinuxOptions)
	}
	config.Linux = linux
	return config
}

func podLabels(pod *corev1.Pod) map[string]string {
	labels := map[string]string{}
	for k, v := range pod.Labels {
		labels[k] = v
	}
	labels[podNameLabel], labels[podNamespaceLabel], labels[podUIDLabel] = pod.Name, pod.Namespace, string(pod.UID)
	return labels
}

// Run is what one run of a container is made of beside its definition.
type Run struct {
	Attempt int
	// Image is the image's reference on the node.
	Image string
	// ImageUser is the user that the image names: a number, or else a name.
	ImageUID  *int64
	ImageUser string
	Env       []Env
	Mounts    []*runtimeapi.Mount
	Devices   []*runtimeapi.Device
	// Target is the container whose processes a debugging container shares, or "".
	Target string
}

// ContainerConfig returns the configuration of a container. Errors are for the
// user: the container cannot be configured.
func ContainerConfig(pod *corev1.Pod, c *corev1.Container, run Run, h Host) (*runtimeapi.ContainerConfig, error) {
	security, err := containerSecurity(pod, c, run, h)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	config := &runtimeapi.ContainerConfig{
		Metadata:    &runtimeapi.ContainerMetadata{Name: c.Name, Attempt: uint32(run.Attempt)},
		Image:       &runtimeapi.ImageSpec{Image: run.Image, UserSpecifiedImage: c.Image},
		WorkingDir:  c.WorkingDir,
		Mounts:      run.Mounts,
		Devices:     run.Devices,
		Labels:      map[string]string{podNameLabel: pod.Name, podNamespaceLabel: pod.Namespace, podUIDLabel: string(pod.UID), containerNameLabel: c.Name},
		Annotations: containerAnnotations(pod, c, run),
		LogPath:     LogFile(c.Name, run.Attempt),
		Stdin:       c.Stdin,
		StdinOnce:   c.StdinOnce,
		Tty:         c.TTY,
		Linux:       &runtimeapi.LinuxContainerConfig{Resources: containerResources(pod, c, h), SecurityContext: security},
	}
	for _, e := range run.Env {
		values[e.Name] = e.Value
		config.Envs = append(config.Envs, &runtimeapi.KeyValue{Key: e.Name, Value: []byte(e.Value)})
	}
	lookup := func(name string) string {
		if v, ok := values[name]; ok {
			return v
		}
		return "$(" + name + ")"
	}
	for _, s := range c.Command {
		config.Command = append(config.Command, Expand(s, lookup))
	}
	for _, s := range c.Args {
		config.Args = append(config.Args, Expand(s, lookup))
	}
	if l := c.Lifecycle; l != nil && l.StopSignal != nil {
		config.StopSignal = runtimeapi.Signal(runtimeapi.Signal_value["SIGNAL_"+string(*l.StopSignal)])
	}
	return config, nil
}

func containerAnnotations(pod *corev1.Pod, c *corev1.Container, run Run) map[string]string {
	a := map[string]string{
		hashAnnotation:          ContainerHash(c),
		restartCountAnnotation:  strconv.Itoa(run.Attempt),
		messagePathAnnotation:   c.TerminationMessagePath,
		messagePolicyAnnotation: string(c.TerminationMessagePolicy),
	}
	if m := c.Resources.Requests.Memory().Value(); m > 0 {
		a[memoryAnnotation] = strconv.FormatInt(m, 10)
	}
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		a[podGraceAnnotation] = strconv.FormatInt(*g, 10)
	}
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		a[deletionGraceAnnotation] = strconv.FormatInt(*g, 10)
	}
	if l := c.Lifecycle; l != nil && l.PreStop != nil {
		a[preStopAnnotation] = mustJSON(l.PreStop)
	}
	if len(c.Ports) > 0 {
		a[portsAnnotation] = mustJSON(c.Ports)
	}
	return a
}

func mustJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err)) // it came from JSON
	}
	return string(data)
}
