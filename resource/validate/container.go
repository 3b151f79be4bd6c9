package validate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// podCheck checks one pod spec: what containers need to know of it, and the
// problems found.
type podCheck struct {
	*problems
	spec    *corev1.PodSpec
	volumes map[string]*corev1.VolumeSource
	claims  sets.Set[string] // names of resource claims
	isPod   bool             // not a template
}

func (c *podCheck) containers(at *field.Path) {
	list := c.spec.Containers
	if len(list) == 0 {
		c.required(at, "")
		return
	}
	names := sets.New[string]()
	for i := range list {
		path, ctr := at.Index(i), &list[i]
		c.container(path, ctr)
		if names.Has(ctr.Name) {
			c.add(field.Duplicate(path.Child("name"), ctr.Name))
		}
		names.Insert(ctr.Name)
		lifecycle(c.problems, path.Child("lifecycle"), ctr.Lifecycle, c.spec.TerminationGracePeriodSeconds)
		probes(c.problems, path, ctr, c.spec.TerminationGracePeriodSeconds)
		c.restartPolicy(path, ctr, false)
	}
	c.hostPorts(at, list, sets.New[string]())
}

func (c *podCheck) initContainers(at *field.Path) {
	names := sets.New[string]()
	for _, ctr := range c.spec.Containers {
		names.Insert(ctr.Name)
	}
	for i := range c.spec.InitContainers {
		path, ctr := at.Index(i), &c.spec.InitContainers[i]
		c.container(path, ctr)
		c.restartPolicy(path, ctr, true)
		if names.Has(ctr.Name) {
			c.add(field.Duplicate(path.Child("name"), ctr.Name))
		} else if ctr.Name != "" {
			names.Insert(ctr.Name)
		}
		c.hostPorts(at, c.spec.InitContainers[i:i+1], sets.New[string]())
		if ctr.RestartPolicy != nil && *ctr.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			lifecycle(c.problems, path.Child("lifecycle"), ctr.Lifecycle, c.spec.TerminationGracePeriodSeconds)
			probes(c.problems, path, ctr, c.spec.TerminationGracePeriodSeconds)
			continue
		}
		c.plainInit(path, ctr)
	}
}

// plainInit refuses what makes sense for containers that keep running only.
func (c *podCheck) plainInit(path *field.Path, ctr *corev1.Container) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"lifecycle", ctr.Lifecycle != nil}, {"livenessProbe", ctr.LivenessProbe != nil},
		{"readinessProbe", ctr.ReadinessProbe != nil}, {"startupProbe", ctr.StartupProbe != nil},
	} {
		if f.set {
			c.forbidden(path.Child(f.name), "may not be set for init containers without restartPolicy=Always")
		}
	}
	for i, r := range ctr.ResizePolicy {
		if r.RestartPolicy == corev1.RestartContainer {
			c.invalid(path.Child("resizePolicy").Index(i).Child("restartPolicy"), r.RestartPolicy,
				"must not be set to 'RestartContainer' for non-sidecar initContainers")
		}
	}
}

func (c *podCheck) ephemeralContainers(at *field.Path) {
	others := sets.New[string]()
	for _, list := range [][]corev1.Container{c.spec.Containers, c.spec.InitContainers} {
		for _, ctr := range list {
			others.Insert(ctr.Name)
		}
	}
	names := others.Clone()
	const never = "cannot be set for an Ephemeral Container"
	for i := range c.spec.EphemeralContainers {
		path, e := at.Index(i), &c.spec.EphemeralContainers[i]
		ctr := (*corev1.Container)(&e.EphemeralContainerCommon)
		c.container(path, ctr)
		c.imageTrimmed(path, ctr)
		if names.Has(e.Name) {
			c.add(field.Duplicate(path.Child("name"), e.Name))
		}
		names.Insert(e.Name)
		if e.TargetContainerName != "" && !others.Has(e.TargetContainerName) {
			c.add(field.NotFound(path.Child("targetContainerName"), e.TargetContainerName))
		}
		onlyFields(c.problems, path, e.EphemeralContainerCommon, never, "Name", "Image", "Command", "Args",
			"WorkingDir", "EnvFrom", "Env", "VolumeMounts", "VolumeDevices", "TerminationMessagePath",
			"TerminationMessagePolicy", "ImagePullPolicy", "SecurityContext", "Stdin", "StdinOnce", "TTY")
		for j, m := range e.VolumeMounts {
			if m.SubPath != "" {
				c.forbidden(path.Child("volumeMounts").Index(j).Child("subPath"), never)
			}
			if m.SubPathExpr != "" {
				c.forbidden(path.Child("volumeMounts").Index(j).Child("subPathExpr"), never)
			}
		}
	}
}

// container checks what all containers have.
func (c *podCheck) container(at *field.Path, ctr *corev1.Container) {
	p := c.problems
	if p.need(at.Child("name"), ctr.Name) {
		dnsLabel(p, at.Child("name"), ctr.Name)
	}
	p.need(at.Child("image"), ctr.Image)
	inOrder(p, at.Child("terminationMessagePolicy"), ctr.TerminationMessagePolicy,
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)
	containerPorts(p, at.Child("ports"), ctr.Ports)
	env(p, at.Child("env"), ctr.Env)
	envFrom(p, at.Child("envFrom"), ctr.EnvFrom)
	volumeMounts(p, at.Child("volumeMounts"), ctr, c.volumes)
	volumeDevices(p, at.Child("volumeDevices"), ctr, c.volumes)
	pullPolicy(p, at.Child("imagePullPolicy"), ctr.ImagePullPolicy)
	resources(p, at.Child("resources"), &ctr.Resources, containerResourceName)
	claimNames(p, at.Child("resources", "claims"), ctr.Resources.Claims, c.claims)
	c.resizePolicy(at.Child("resizePolicy"), ctr.ResizePolicy)
	securityContext(p, at.Child("securityContext"), ctr.SecurityContext, !isFalse(c.spec.HostUsers))
}

func (c *podCheck) imageTrimmed(at *field.Path, ctr *corev1.Container) {
	if strings.TrimSpace(ctr.Image) != ctr.Image {
		c.invalid(at.Child("image"), ctr.Image, "must not have leading or trailing whitespace")
	}
}

func containerPorts(p *problems, at *field.Path, ports []corev1.ContainerPort) {
	names := sets.New[string]()
	for i, port := range ports {
		path := at.Index(i)
		if port.Name != "" {
			if messages := validation.IsValidPortName(port.Name); len(messages) > 0 {
				p.invalids(path.Child("name"), port.Name, messages)
			} else if names.Has(port.Name) {
				p.add(field.Duplicate(path.Child("name"), port.Name))
			}
			names.Insert(port.Name)
		}
		if port.ContainerPort == 0 {
			p.required(path.Child("containerPort"), "")
		} else {
			portNumber(p, path.Child("containerPort"), port.ContainerPort)
		}
		if port.HostPort != 0 {
			portNumber(p, path.Child("hostPort"), port.HostPort)
		}
		protocol(p, path.Child("protocol"), port.Protocol)
	}
}

// hostPorts refuses two containers on one port of the host.
func (c *podCheck) hostPorts(at *field.Path, list []corev1.Container, seen sets.Set[string]) {
	for i := range list {
		for j, port := range list[i].Ports {
			if port.HostPort == 0 {
				continue
			}
			key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
			if seen.Has(key) {
				c.add(field.Duplicate(at.Index(i).Child("ports").Index(j).Child("hostPort"), key))
			}
			seen.Insert(key)
		}
	}
}

func pullPolicy(p *problems, at *field.Path, policy corev1.PullPolicy) {
	oneOf(p, at, policy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
}

func (c *podCheck) resizePolicy(at *field.Path, list []corev1.ContainerResizePolicy) {
	seen := sets.New[corev1.ResourceName]()
	for i, r := range list {
		if seen.Has(r.ResourceName) {
			c.add(field.Duplicate(at.Index(i), r.ResourceName))
		}
		seen.Insert(r.ResourceName)
		oneOf(c.problems, at, r.ResourceName, corev1.ResourceCPU, corev1.ResourceMemory)
		oneOf(c.problems, at, r.RestartPolicy, corev1.NotRequired, corev1.RestartContainer)
		if c.spec.RestartPolicy == corev1.RestartPolicyNever && r.RestartPolicy != corev1.NotRequired {
			c.invalid(at, r.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")
		}
	}
}

// restartPolicy checks a container's own policy and its rules (KEP-5307).
func (c *podCheck) restartPolicy(at *field.Path, ctr *corev1.Container, init bool) {
	policy, rules := ctr.RestartPolicy, ctr.RestartPolicyRules
	if policy == nil && len(rules) == 0 {
		return
	}
	if policy == nil {
		c.required(at.Child("restartPolicy"), "must specify restartPolicy when restart rules are used")
		if init {
			return
		}
	} else {
		supportedOnly(c.problems, at.Child("restartPolicy"), *policy, corev1.ContainerRestartPolicyAlways,
			corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)
	}
	const mostRules, mostCodes = 20, 255
	if len(rules) > mostRules {
		c.add(field.TooMany(at.Child("restartPolicyRules"), len(rules), mostRules))
	}
	for i, r := range rules {
		path := at.Child("restartPolicyRules").Index(i)
		supportedOnly(c.problems, path.Child("action"), r.Action,
			corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)
		if r.ExitCodes == nil {
			c.required(path.Child("exitCodes"), "must be specified")
			continue
		}
		supportedOnly(c.problems, path.Child("exitCodes", "operator"), r.ExitCodes.Operator,
			corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)
		if len(r.ExitCodes.Values) > mostCodes {
			c.add(field.TooMany(path.Child("exitCodes", "values"), len(r.ExitCodes.Values), mostCodes))
		}
	}
}

// onlyFields refuses values in all fields of a struct but those allowed, so that
// fields of future APIs are refused too.
func onlyFields(p *problems, at *field.Path, value any, detail string, allowed ...string) {
	v := reflect.ValueOf(value)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !slices.Contains(allowed, name) && !v.Field(i).IsZero() {
			r := []rune(name)
			r[0] = unicode.ToLower(r[0])
			p.forbidden(at.Child(string(r)), detail)
		}
	}
}
