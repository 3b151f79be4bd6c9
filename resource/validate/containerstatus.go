package validate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// containerStatuses checks the users and the health of devices that an agent
// reports.
func containerStatuses(p *problems, at *field.Path, pod *corev1.Pod, list []corev1.ContainerStatus, containers []corev1.Container) {
	containerUsers(p, at, pod, list)
	for i := range list {
		s := &list[i]
		for j := range s.AllocatedResourcesStatus {
			r, path := &s.AllocatedResourcesStatus[j], at.Index(i).Child("allocatedResourcesStatus").Index(j)
			k := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == s.Name })
			if k >= 0 {
				deviceName(p, path.Child("name"), pod, &containers[k], r.Name)
			}
			devices(p, path.Child("resources"), r.Resources)
		}
	}
}

func containerUsers(p *problems, at *field.Path, pod *corev1.Pod, list []corev1.ContainerStatus) {
	for i := range list {
		if u := list[i].User; u != nil {
			containerUser(p, at.Index(i).Child("user", "linux"), u.Linux, pod.Spec.OS)
		}
	}
}

func containerUser(p *problems, at *field.Path, u *corev1.LinuxContainerUser, os *corev1.PodOS) {
	switch {
	case u == nil:
		return
	case os != nil && os.Name == corev1.Windows:
		p.forbidden(at, "cannot be set for a windows pod")
		return
	case os != nil && os.Name != corev1.Linux:
		return
	}
	if u.UID < 0 || u.UID > math.MaxUint32 {
		p.invalid(at.Child("uid"), u.UID, fmt.Sprintf("must be between 0 and %d, inclusive", int64(math.MaxUint32)))
	}
	groupID(p, at.Child("gid"), &u.GID)
	for i := range u.SupplementalGroups {
		groupID(p, at.Child("supplementalGroups").Index(i), &u.SupplementalGroups[i])
	}
}

func deviceName(p *problems, at *field.Path, pod *corev1.Pod, c *corev1.Container, name corev1.ResourceName) {
	claim, ok := strings.CutPrefix(string(name), "claim:")
	if !ok {
		if _, ok := c.Resources.Requests[name]; !ok {
			p.invalid(at, name, "must match one of the container's resource requests")
		}
		return
	}
	if !slices.ContainsFunc(c.Resources.Claims, func(own corev1.ResourceClaim) bool {
		return own.Name == claim && own.Request == "" || own.Request != "" && own.Name+"/"+own.Request == claim
	}) && !extendedDevice(pod.Status.ExtendedResourceClaimStatus, c, claim) {
		p.invalid(at, name, "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty")
	}
}

func extendedDevice(s *corev1.PodExtendedResourceClaimStatus, c *corev1.Container, claim string) bool {
	name, request, ok := strings.Cut(claim, "/")
	if s == nil || !ok || request == "" || name != s.ResourceClaimName {
		return false
	}
	return slices.ContainsFunc(s.RequestMappings, func(m corev1.ContainerExtendedResourceRequest) bool {
		q, ok := c.Resources.Requests[corev1.ResourceName(m.ResourceName)]
		return m.ContainerName == c.Name && m.RequestName == request && ok && !q.IsZero()
	})
}

func devices(p *problems, at *field.Path, list []corev1.ResourceHealth) {
	seen := sets.New[corev1.ResourceID]()
	for i, d := range list {
		path := at.Index(i)
		supportedOnly(p, path.Child("health"), d.Health,
			corev1.ResourceHealthStatusHealthy, corev1.ResourceHealthStatusUnhealthy, corev1.ResourceHealthStatusUnknown)
		switch m := d.Message; {
		case m == nil:
		case *m == "":
			p.required(path.Child("message"), "must be non-empty if specified")
		case len(*m) > corev1.ResourceHealthMessageMaxLength:
			p.add(field.TooLong(path.Child("message"), *m, corev1.ResourceHealthMessageMaxLength))
		}
		if seen.Has(d.ResourceID) {
			p.add(field.Duplicate(path.Child("resourceID"), d.ResourceID))
		}
		seen.Insert(d.ResourceID)
	}
}
