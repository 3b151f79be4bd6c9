package validate

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// securityContext checks that of a container. Privileged containers are allowed
// here; admission decides who may have them.
func securityContext(p *problems, at *field.Path, s *corev1.SecurityContext, hostUsers bool) {
	if s == nil {
		return
	}
	userID(p, at.Child("runAsUser"), s.RunAsUser)
	groupID(p, at.Child("runAsGroup"), s.RunAsGroup)
	if s.ProcMount != nil {
		if m := *s.ProcMount; m != corev1.DefaultProcMount && m != corev1.UnmaskedProcMount {
			p.add(field.NotSupported(at.Child("procMount"), m, []corev1.ProcMountType{corev1.DefaultProcMount, corev1.UnmaskedProcMount}))
		}
		if hostUsers && *s.ProcMount == corev1.UnmaskedProcMount {
			p.invalid(at.Child("procMount"), s.ProcMount, "`hostUsers` must be false to use `Unmasked`")
		}
	}
	seccomp(p, at.Child("seccompProfile"), s.SeccompProfile)
	if isFalse(s.AllowPrivilegeEscalation) {
		if isTrue(s.Privileged) {
			p.invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
		}
		if s.Capabilities != nil {
			for _, c := range s.Capabilities.Add {
				if c == "CAP_SYS_ADMIN" {
					p.invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
				}
			}
		}
	}
	windowsOptions(p, at.Child("windowsOptions"), s.WindowsOptions)
	appArmor(p, at.Child("appArmorProfile"), s.AppArmorProfile)
}

func podSecurityContext(p *problems, at *field.Path, spec *corev1.PodSpec) {
	s := spec.SecurityContext
	if s == nil {
		return
	}
	groupID(p, at.Child("fsGroup"), s.FSGroup)
	userID(p, at.Child("runAsUser"), s.RunAsUser)
	groupID(p, at.Child("runAsGroup"), s.RunAsGroup)
	for i := range s.SupplementalGroups {
		groupID(p, at.Child("supplementalGroups").Index(i), &s.SupplementalGroups[i])
	}
	sysctls(p, at.Child("sysctls"), spec)
	if s.FSGroupChangePolicy != nil {
		supportedOnly(p, at.Child("fsGroupChangePolicy"), *s.FSGroupChangePolicy, corev1.FSGroupChangeOnRootMismatch, corev1.FSGroupChangeAlways)
	}
	seccomp(p, at.Child("seccompProfile"), s.SeccompProfile)
	windowsOptions(p, at.Child("windowsOptions"), s.WindowsOptions)
	appArmor(p, at.Child("appArmorProfile"), s.AppArmorProfile)
	if s.SupplementalGroupsPolicy != nil {
		supportedOnly(p, at.Child("supplementalGroupsPolicy"), *s.SupplementalGroupsPolicy,
			corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)
	}
	if s.SELinuxChangePolicy != nil {
		supportedOnly(p, at.Child("seLinuxChangePolicy"), *s.SELinuxChangePolicy,
			corev1.SELinuxChangePolicyRecursive, corev1.SELinuxChangePolicyMountOption)
	}
}

// sysctlName is the form of a sysctl's name, with dots or slashes.
var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

func sysctls(p *problems, at *field.Path, spec *corev1.PodSpec) {
	const longest = 253
	seen := sets.New[string]()
	for i, s := range spec.SecurityContext.Sysctls {
		path := at.Index(i).Child("name")
		switch {
		case s.Name == "":
			p.required(path, "")
		case len(s.Name) > longest || !sysctlName.MatchString(s.Name):
			p.invalid(path, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", longest, sysctlName))
		case seen.Has(s.Name):
			p.add(field.Duplicate(path, s.Name))
		}
		seen.Insert(s.Name)
		dotted := strings.ReplaceAll(s.Name, "/", ".")
		switch {
		case spec.HostNetwork && strings.HasPrefix(dotted, "net."):
			p.invalid(path, s.Name, "may not be specified when 'hostNetwork' is true")
		case spec.HostIPC && hasPrefixAny(dotted, "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."):
			p.invalid(path, s.Name, "may not be specified when 'hostIPC' is true")
		}
	}
}

func seccomp(p *problems, at *field.Path, s *corev1.SeccompProfile) {
	if s == nil {
		return
	}
	if s.Type == "" {
		p.required(at.Child("type"), "type is required when seccompProfile is set")
	} else {
		inOrder(p, at.Child("type"), s.Type, corev1.SeccompProfileTypeLocalhost,
			corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	}
	path := at.Child("localhostProfile")
	switch {
	case s.Type != corev1.SeccompProfileTypeLocalhost && s.LocalhostProfile != nil:
		p.invalid(path, s, "can only be set when seccomp type is Localhost")
	case s.Type != corev1.SeccompProfileTypeLocalhost:
	case s.LocalhostProfile == nil:
		p.required(path, "must be set when seccomp type is Localhost")
	default:
		descendingPath(p, path, *s.LocalhostProfile)
	}
}

func appArmor(p *problems, at *field.Path, a *corev1.AppArmorProfile) {
	if a == nil {
		return
	}
	const longest = 4095 // PATH_MAX without the final zero
	path := at.Child("localhostProfile")
	switch a.Type {
	case "":
		p.required(at.Child("type"), "type is required when appArmorProfile is set")
	case corev1.AppArmorProfileTypeLocalhost:
		if a.LocalhostProfile == nil || *a.LocalhostProfile == "" {
			p.required(path, "must be set when AppArmor type is Localhost")
			return
		}
		if strings.TrimSpace(*a.LocalhostProfile) != *a.LocalhostProfile {
			p.invalid(path, *a.LocalhostProfile, "must not be padded with whitespace")
		}
		if len(*a.LocalhostProfile) > longest {
			p.add(field.TooLong(path, "", longest))
		}
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if a.LocalhostProfile != nil {
			p.invalid(path, a.LocalhostProfile, "can only be set when AppArmor type is Localhost")
		}
	default:
		inOrder(p, at.Child("type"), a.Type, corev1.AppArmorProfileTypeLocalhost,
			corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
	}
}
