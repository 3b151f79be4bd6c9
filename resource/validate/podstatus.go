package validate

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// PodStatus checks what an agent reports of a pod.
func PodStatus(pod, old *corev1.Pod) field.ErrorList {
	var p problems
	podAnnotationsUpdate(&p, field.NewPath("metadata", "annotations"), pod.Annotations, old.Annotations)
	at, s, was := field.NewPath("status"), &pod.Status, &old.Status
	podConditions(&p, at.Child("conditions"), s.Conditions)
	if pod.Spec.NodeName != old.Spec.NodeName {
		p.forbidden(at.Child("nodeName"), "may not be changed directly")
	}
	if name := s.NominatedNodeName; name != "" && name != was.NominatedNodeName {
		objectName(&p, at.Child("nominatedNodeName"), name)
		if old.Spec.NodeName != "" {
			p.forbidden(at.Child("nominatedNodeName"), "may not be set on pods that are already bound to a node")
		}
	}
	if s.ObservedGeneration < 0 {
		p.invalid(at.Child("observedGeneration"), s.ObservedGeneration, "must be a non-negative integer")
	}
	if !equality.Semantic.DeepEqual(s.QOSClass, was.QOSClass) {
		p.invalid(at.Child("qosClass"), s.QOSClass, "field is immutable")
	}
	if !restartsAll(&old.Spec) {
		stateChanges(&p, at.Child("containerStatuses"), s.ContainerStatuses, was.ContainerStatuses, &old.Spec, old.Spec.Containers)
		stateChanges(&p, at.Child("initContainerStatuses"), s.InitContainerStatuses, was.InitContainerStatuses, &old.Spec, old.Spec.InitContainers)
	}
	stateChanges(&p, at.Child("ephemeralContainerStatuses"), s.EphemeralContainerStatuses, was.EphemeralContainerStatuses, &old.Spec, nil)
	containerStatuses(&p, at.Child("containerStatuses"), pod, s.ContainerStatuses, pod.Spec.Containers)
	containerStatuses(&p, at.Child("initContainerStatuses"), pod, s.InitContainerStatuses, pod.Spec.InitContainers)
	containerUsers(&p, at.Child("ephemeralContainerStatuses"), pod, s.EphemeralContainerStatuses)
	for i, c := range s.EphemeralContainerStatuses {
		if len(c.AllocatedResourcesStatus) > 0 {
			p.forbidden(at.Child("ephemeralContainerStatuses").Index(i).Child("allocatedResourcesStatus"), "must not be specified in container status")
		}
	}
	claimStatuses(&p, at.Child("resourceClaimStatuses"), s.ResourceClaimStatuses, pod.Spec.ResourceClaims)
	extendedClaim(&p, at.Child("extendedResourceClaimStatus"), s.ExtendedResourceClaimStatus, &pod.Spec)
	addresses(&p, at.Child("podIPs"), s.PodIPs, podIPs(s), podIPs(was))
	switch {
	case (s.PodIP != "") != (len(s.PodIPs) > 0):
		p.invalid(at.Child("podIPs"), s.PodIPs, "podIP and podIPs must either both be set or both be unset")
	case s.PodIP != "" && s.PodIPs[0].IP != s.PodIP:
		p.invalid(at.Child("podIPs").Index(0).Child("ip"), s.PodIPs[0].IP, "must be equal to `podIP`")
	}
	if len(s.HostIPs) > 0 && s.HostIPs[0].IP != s.HostIP {
		p.invalid(at.Child("hostIPs").Index(0).Child("ip"), s.HostIPs[0].IP, "must be equal to `hostIP`")
	}
	addresses(&p, at.Child("hostIPs"), s.HostIPs, hostIPs(s), hostIPs(was))
	return p.list()
}

func podConditions(p *problems, at *field.Path, list []corev1.PodCondition) {
	for i, c := range list {
		if c.ObservedGeneration < 0 {
			p.invalid(at.Index(i).Child("observedGeneration"), c.ObservedGeneration, "must be a non-negative integer")
		}
		qualifiedName(p, at.Index(i).Child("Type"), string(c.Type))
	}
}

func podIPs(s *corev1.PodStatus) []string {
	var ips []string
	for _, ip := range s.PodIPs {
		ips = append(ips, ip.IP)
	}
	return ips
}

func hostIPs(s *corev1.PodStatus) []string {
	var ips []string
	for _, ip := range s.HostIPs {
		ips = append(ips, ip.IP)
	}
	return ips
}

// addresses checks a list of at most one address per family.
func addresses(p *problems, at *field.Path, value any, ips, had []string) {
	for i, one := range ips {
		ip(p, at.Index(i), one, had)
	}
	if len(ips) < 2 {
		return
	}
	dual, err := netutils.IsDualStackIPStrings(ips)
	if err != nil {
		p.add(field.InternalError(at, fmt.Errorf("failed to check for dual stack with error:%v", err)))
	}
	if !dual || len(ips) > 2 {
		p.invalid(at, value, "may specify no more than one IP for each IP family")
	}
}

// restartsAll says whether a rule of some container restarts the whole pod, so
// that any state may follow any (KEP-5532).
func restartsAll(s *corev1.PodSpec) bool {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for _, c := range list {
			if slices.ContainsFunc(c.RestartPolicyRules, func(r corev1.ContainerRestartRule) bool {
				return r.Action == corev1.ContainerRestartRuleActionRestartAllContainers
			}) {
				return true
			}
		}
	}
	return false
}

// stateChanges refuses the return of containers that ended for good.
func stateChanges(p *problems, at *field.Path, now, was []corev1.ContainerStatus, spec *corev1.PodSpec, containers []corev1.Container) {
	for i, old := range was {
		done := old.State.Terminated
		if done == nil || mayRestart(spec, containers, old.Name, done.ExitCode) {
			continue
		}
		for _, s := range now {
			if s.Name == old.Name && s.State.Terminated == nil {
				p.forbidden(at.Index(i).Child("state"), "may not be transitioned to non-terminated state")
				break
			}
		}
	}
}

// mayRestart says whether a container that ended with code may run again.
func mayRestart(spec *corev1.PodSpec, containers []corev1.Container, name string, code int32) bool {
	i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		return false
	}
	c := &containers[i]
	for _, r := range c.RestartPolicyRules {
		if r.ExitCodes != nil && slices.Contains(r.ExitCodes.Values, code) == (r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
			return true
		}
	}
	policy := string(spec.RestartPolicy)
	if c.RestartPolicy != nil {
		policy = string(*c.RestartPolicy)
	}
	switch policy {
	case string(corev1.RestartPolicyAlways):
		return true
	case string(corev1.RestartPolicyOnFailure):
		return code != 0
	}
	return false
}

func claimStatuses(p *problems, at *field.Path, statuses []corev1.PodResourceClaimStatus, claims []corev1.PodResourceClaim) {
	seen := sets.New[string]()
	for i, s := range statuses {
		path := at.Index(i)
		if !slices.ContainsFunc(claims, func(c corev1.PodResourceClaim) bool { return c.Name == s.Name }) {
			p.invalid(path.Child("name"), s.Name, "must match the name of an entry in `spec.resourceClaims`")
		}
		if seen.Has(s.Name) {
			p.add(field.Duplicate(path.Child("name"), s.Name))
		}
		seen.Insert(s.Name)
		if s.ResourceClaimName != nil {
			objectName(p, path.Child("resourceClaimName"), *s.ResourceClaimName)
		}
	}
}

// extendedClaim checks which extended resources devices were found for
// (KEP-5004).
func extendedClaim(p *problems, at *field.Path, s *corev1.PodExtendedResourceClaimStatus, spec *corev1.PodSpec) {
	if s == nil {
		return
	}
	requests := map[string]corev1.ResourceList{}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			requests[list[i].Name] = list[i].Resources.Requests
		}
	}
	mappings := at.Child("requestMappings")
	if len(s.RequestMappings) == 0 {
		p.required(mappings, "at least one request mapping is required")
	}
	seen := sets.New[corev1.ContainerExtendedResourceRequest]()
	for i, m := range s.RequestMappings {
		path := mappings.Index(i)
		list, ok := requests[m.ContainerName]
		if !ok {
			p.invalid(path.Child("containerName"), m.ContainerName, "must match the name of an entry in spec.initContainers.name or spec.containers.name")
		} else if _, ok := list[corev1.ResourceName(m.ResourceName)]; !ok {
			p.invalid(path.Child("resourceName"), m.ResourceName,
				"must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests")
		}
		dnsLabel(p, at.Child("requestName"), m.RequestName)
		if seen.Has(m) {
			p.add(field.Duplicate(path.Child("containerName"), m.ContainerName),
				field.Duplicate(path.Child("resourceName"), m.ResourceName), field.Duplicate(path.Child("requestName"), m.RequestName))
		}
		seen.Insert(m)
	}
	if p.need(at.Child("resourceClaimName"), s.ResourceClaimName) {
		objectName(p, at.Child("resourceClaimName"), s.ResourceClaimName)
	}
}
