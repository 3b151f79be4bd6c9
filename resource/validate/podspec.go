package validate

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodTemplate checks the template of pods that a controller makes.
func PodTemplate(at *field.Path, t *corev1.PodTemplateSpec) field.ErrorList {
	var p problems
	p.add(Labels(at.Child("labels"), t.Labels)...)
	p.add(apivalidation.ValidateAnnotations(t.Annotations, at.Child("annotations"))...)
	podAnnotations(&p, at.Child("annotations"), t.Annotations, &t.Spec)
	podSpec(&p, at.Child("spec"), &t.Spec, nil)
	if len(t.Spec.EphemeralContainers) > 0 {
		p.forbidden(at.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template")
	}
	return p.list()
}

// podSpec checks a spec; meta is nil for one in a template.
func podSpec(p *problems, at *field.Path, s *corev1.PodSpec, meta *metav1.ObjectMeta) {
	if s.TerminationGracePeriodSeconds == nil {
		p.required(at.Child("terminationGracePeriodSeconds"), "")
	}
	c := &podCheck{problems: p, spec: s, isPod: meta != nil}
	c.volumes = volumes(p, at.Child("volumes"), s.Volumes, podNameOf(meta))
	c.claims = resourceClaims(p, at.Child("resourceClaims"), s.ResourceClaims)
	c.containers(at.Child("containers"))
	c.initContainers(at.Child("initContainers"))
	c.ephemeralContainers(at.Child("ephemeralContainers"))
	c.podResources(at.Child("resources"))
	c.hostNetwork(at)
	inOrder(p, at.Child("restartPolicy"), s.RestartPolicy, corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	inOrder(p, at.Child("dnsPolicy"), s.DNSPolicy, corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)
	p.add(metavalidation.ValidateLabels(s.NodeSelector, at.Child("nodeSelector"))...)
	podSecurityContext(p, at.Child("securityContext"), s)
	if isTrue(s.ShareProcessNamespace) && s.HostPID {
		p.invalid(at.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled")
	}
	affinity(p, at.Child("affinity"), s.Affinity)
	c.dns(at.Child("dnsConfig"))
	c.gates(at)
	topologySpread(p, at.Child("topologySpreadConstraints"), s.TopologySpreadConstraints)
	c.hostProcess(at)
	c.userNamespace(at)
	c.names(at)
	if d := s.ActiveDeadlineSeconds; d != nil && (*d < 1 || *d > math.MaxInt32) {
		p.invalid(at.Child("activeDeadlineSeconds"), *d, validation.InclusiveRangeError(1, math.MaxInt32))
	}
	tolerations(p, at.Child("tolerations"), s.Tolerations)
	c.hostAliases(at.Child("hostAliases"))
	if s.PreemptionPolicy != nil {
		inOrder(p, at.Child("preemptionPolicy"), *s.PreemptionPolicy, corev1.PreemptLowerPriority, corev1.PreemptNever)
	}
	if s.Overhead != nil {
		resources(p, at.Child("overhead"), &corev1.ResourceRequirements{Limits: s.Overhead}, containerResourceName)
	}
	c.podOS(at)
	c.fileKeyVolumes(at)
}

// eachContainer calls f for the init, ordinary and ephemeral containers.
func eachContainer(s *corev1.PodSpec, at *field.Path, f func(*corev1.Container, *field.Path)) {
	for i := range s.InitContainers {
		f(&s.InitContainers[i], at.Child("initContainers").Index(i))
	}
	for i := range s.Containers {
		f(&s.Containers[i], at.Child("containers").Index(i))
	}
	for i := range s.EphemeralContainers {
		f((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon), at.Child("ephemeralContainers").Index(i))
	}
}

// hostNetwork: there, a container's port and the host's are one.
func (c *podCheck) hostNetwork(at *field.Path) {
	if !c.spec.HostNetwork {
		return
	}
	for i := range c.spec.Containers {
		for j, port := range c.spec.Containers[i].Ports {
			if (c.isPod || port.HostPort != 0) && port.HostPort != port.ContainerPort {
				c.invalid(at.Child("containers").Index(i).Child("ports").Index(j).Child("hostPort"), port.HostPort,
					"must match `containerPort` when `hostNetwork` is true")
			}
		}
	}
}

func (c *podCheck) dns(at *field.Path) {
	const mostServers, mostSearches, mostChars = 3, 32, 2048
	config := c.spec.DNSConfig
	if c.spec.DNSPolicy == corev1.DNSNone {
		if config == nil {
			c.required(at, fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone))
			return
		}
		if len(config.Nameservers) == 0 {
			c.required(at.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone))
			return
		}
	}
	if config == nil {
		return
	}
	if len(config.Nameservers) > mostServers {
		c.invalid(at.Child("nameservers"), config.Nameservers, fmt.Sprintf("must not have more than %v nameservers", mostServers))
	}
	for i, server := range config.Nameservers {
		ip(c.problems, at.Child("nameservers").Index(i), server, nil)
	}
	if len(config.Searches) > mostSearches {
		c.invalid(at.Child("searches"), config.Searches, fmt.Sprintf("must not have more than %v search paths", mostSearches))
	}
	if len(strings.Join(config.Searches, " ")) > mostChars {
		c.invalid(at.Child("searches"), config.Searches,
			fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", mostChars))
	}
	for i, search := range config.Searches {
		if search != "." {
			search = strings.TrimSuffix(search, ".")
			c.invalids(at.Child("searches").Index(i), search, validation.IsDNS1123SubdomainWithUnderscore(search))
		}
	}
	for i, option := range config.Options {
		if option.Name == "" {
			c.required(at.Child("options").Index(i), "must not be empty")
		}
	}
}

// gates checks what holds up scheduling and readiness.
func (c *podCheck) gates(at *field.Path) {
	for i, g := range c.spec.ReadinessGates {
		qualifiedName(c.problems, at.Child("readinessGates").Index(i).Child("conditionType"), string(g.ConditionType))
	}
	seen := sets.New[string]()
	for i, g := range c.spec.SchedulingGates {
		path := at.Child("schedulingGates").Index(i)
		qualifiedName(c.problems, path, g.Name)
		if seen.Has(g.Name) {
			c.add(field.Duplicate(path, g.Name))
		}
		seen.Insert(g.Name)
	}
}

// userNamespace refuses what cannot be had with users of the pod's own
// (KEP-127).
func (c *podCheck) userNamespace(at *field.Path) {
	if !isFalse(c.spec.HostUsers) {
		return
	}
	const detail = "when `hostUsers` is false"
	if c.spec.HostNetwork {
		c.forbidden(at.Child("hostNetwork"), detail)
	}
	if c.spec.HostPID {
		c.forbidden(at.Child("HostPID"), detail)
	}
	if c.spec.HostIPC {
		c.forbidden(at.Child("HostIPC"), detail)
	}
	eachContainer(c.spec, at, func(ctr *corev1.Container, path *field.Path) {
		if len(ctr.VolumeDevices) > 0 {
			c.forbidden(path.Child("volumeDevices"), detail)
		}
	})
}

// names checks host names and the names of other objects.
func (c *podCheck) names(at *field.Path) {
	s, p := c.spec, c.problems
	if name := s.HostnameOverride; name != nil {
		path := at.Child("hostnameOverride")
		if isTrue(s.SetHostnameAsFQDN) {
			p.forbidden(path, "may not be specified when setHostnameAsFQDN is true")
		}
		if s.HostNetwork {
			p.forbidden(path, "may not be specified when hostNetwork is true")
		}
		if len(*name) > 64 {
			p.add(field.TooLong(path, "", 64))
		}
		dnsSubdomain(p, path, *name)
	}
	if s.ServiceAccountName != "" {
		objectName(p, at.Child("serviceAccountName"), s.ServiceAccountName)
	}
	if s.NodeName != "" {
		objectName(p, at.Child("nodeName"), s.NodeName)
	}
	if s.Hostname != "" {
		dnsLabel(p, at.Child("hostname"), s.Hostname)
	}
	if s.Subdomain != "" {
		dnsLabel(p, at.Child("subdomain"), s.Subdomain)
	}
	if s.PriorityClassName != "" {
		objectName(p, at.Child("priorityClassName"), s.PriorityClassName)
	}
	if s.RuntimeClassName != nil {
		objectName(p, at.Child("runtimeClassName"), *s.RuntimeClassName)
	}
}

func (c *podCheck) hostAliases(at *field.Path) {
	for i, alias := range c.spec.HostAliases {
		ip(c.problems, at.Index(i).Child("ip"), alias.IP, nil)
		for j, name := range alias.Hostnames {
			dnsSubdomain(c.problems, at.Index(i).Child("hostnames").Index(j), name)
		}
	}
}

// fileKeyVolumes: variables are read from files of emptyDir volumes only
// (KEP-3721).
func (c *podCheck) fileKeyVolumes(at *field.Path) {
	kinds := map[string]*corev1.VolumeSource{}
	for i := range c.spec.Volumes {
		kinds[c.spec.Volumes[i].Name] = &c.spec.Volumes[i].VolumeSource
	}
	eachContainer(c.spec, at, func(ctr *corev1.Container, path *field.Path) {
		for i, v := range ctr.Env {
			if v.ValueFrom == nil || v.ValueFrom.FileKeyRef == nil {
				continue
			}
			name := v.ValueFrom.FileKeyRef.VolumeName
			where := path.Child("env").Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			switch source, ok := kinds[name]; {
			case !ok:
				c.add(field.NotFound(where, name))
			case source.EmptyDir == nil:
				c.invalid(where, name, "referenced volume must be of type emptyDir")
			}
		}
	})
}
