package validate

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Forms of names on Windows.
var (
	controlChars  = regexp.MustCompile(`[[:cntrl:]]+`)
	netBIOSName   = regexp.MustCompile(`^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$`)
	windowsDomain = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	userBadChars  = regexp.MustCompile(`["/\\:;|=,\+\*\?<>@\[\]]`)
	dotsAndSpaces = regexp.MustCompile(`^[\. ]+$`)
)

func windowsOptions(p *problems, at *field.Path, w *corev1.WindowsSecurityContextOptions) {
	if w == nil {
		return
	}
	if w.GMSACredentialSpecName != nil {
		dnsSubdomain(p, at.Child("gmsaCredentialSpecName"), *w.GMSACredentialSpecName)
	}
	if spec := w.GMSACredentialSpec; spec != nil {
		const most = 64 // KiB
		switch {
		case *spec == "":
			p.invalid(at.Child("gmsaCredentialSpec"), spec, "gmsaCredentialSpec cannot be an empty string")
		case len(*spec) > most*1024:
			p.invalid(at.Child("gmsaCredentialSpec"), spec, fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", most))
		}
	}
	if w.RunAsUserName != nil {
		for _, m := range windowsUser(*w.RunAsUserName) {
			p.invalid(at.Child("runAsUserName"), w.RunAsUserName, m)
		}
	}
}

// windowsUser checks "user" or "domain\user".
func windowsUser(name string) []string {
	switch {
	case name == "":
		return []string{"runAsUserName cannot be an empty string"}
	case controlChars.MatchString(name):
		return []string{"runAsUserName cannot contain control characters"}
	case strings.Count(name, `\`) > 1:
		return []string{"runAsUserName cannot contain more than one backslash"}
	}
	const longestDomain, longestUser = 256, 104
	var messages []string
	domain, user, hasDomain := strings.Cut(name, `\`)
	if !hasDomain {
		domain, user = "", name
	}
	if len(domain) >= longestDomain {
		messages = append(messages, fmt.Sprintf("runAsUserName's Domain length must be under %d characters", longestDomain))
	}
	if hasDomain && !netBIOSName.MatchString(domain) && !windowsDomain.MatchString(domain) {
		messages = append(messages, "runAsUserName's Domain doesn't match the NetBios nor the DNS format")
	}
	switch {
	case user == "":
		messages = append(messages, "runAsUserName's User cannot be empty")
	case len(user) > longestUser:
		messages = append(messages, fmt.Sprintf("runAsUserName's User length must not be longer than %d characters", longestUser))
	}
	if dotsAndSpaces.MatchString(user) {
		messages = append(messages, "runAsUserName's User cannot contain only periods or spaces")
	}
	if userBadChars.MatchString(user) {
		messages = append(messages, `runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]`)
	}
	return messages
}

// podOS checks the system that a pod says it is for, and that nothing in it is
// for another one.
func (c *podCheck) podOS(at *field.Path) {
	if c.spec.OS == nil {
		return
	}
	switch name := c.spec.OS.Name; name {
	case "":
		c.required(at.Child("os", "name"), "")
	case corev1.Linux:
		const detail = "windows options cannot be set for a linux pod"
		if s := c.spec.SecurityContext; s != nil && s.WindowsOptions != nil {
			c.forbidden(at.Child("securityContext", "windowsOptions"), detail)
		}
		eachContainer(c.spec, at, func(ctr *corev1.Container, path *field.Path) {
			if s := ctr.SecurityContext; s != nil && s.WindowsOptions != nil {
				c.forbidden(path.Child("securityContext", "windowsOptions"), detail)
			}
		})
	case corev1.Windows:
		c.noLinux(at)
	default:
		supportedOnly(c.problems, at.Child("os"), name, corev1.Linux, corev1.Windows)
	}
}

func (c *podCheck) noLinux(at *field.Path) {
	refuse := func(path *field.Path, names ...namedBool) {
		for _, n := range names {
			if n.set {
				c.forbidden(path.Child(n.name), "cannot be set for a windows pod")
			}
		}
	}
	if s := c.spec.SecurityContext; s != nil {
		refuse(at.Child("securityContext"),
			namedBool{"appArmorProfile", s.AppArmorProfile != nil}, namedBool{"seLinuxOptions", s.SELinuxOptions != nil},
			namedBool{"seccompProfile", s.SeccompProfile != nil}, namedBool{"fsGroup", s.FSGroup != nil},
			namedBool{"fsGroupChangePolicy", s.FSGroupChangePolicy != nil}, namedBool{"sysctls", len(s.Sysctls) > 0},
			namedBool{"runAsUser", s.RunAsUser != nil}, namedBool{"runAsGroup", s.RunAsGroup != nil},
			namedBool{"supplementalGroups", s.SupplementalGroups != nil},
			namedBool{"supplementalGroupsPolicy", s.SupplementalGroupsPolicy != nil},
			namedBool{"seLinuxChangePolicy", s.SELinuxChangePolicy != nil})
	}
	refuse(at, namedBool{"hostUsers", c.spec.HostUsers != nil}, namedBool{"hostPID", c.spec.HostPID},
		namedBool{"hostIPC", c.spec.HostIPC}, namedBool{"shareProcessNamespace", c.spec.ShareProcessNamespace != nil})
	eachContainer(c.spec, at, func(ctr *corev1.Container, path *field.Path) {
		s := ctr.SecurityContext
		if s == nil {
			return
		}
		refuse(path.Child("securityContext"),
			namedBool{"appArmorProfile", s.AppArmorProfile != nil}, namedBool{"seLinuxOptions", s.SELinuxOptions != nil},
			namedBool{"seccompProfile", s.SeccompProfile != nil}, namedBool{"capabilities", s.Capabilities != nil},
			namedBool{"readOnlyRootFilesystem", s.ReadOnlyRootFilesystem != nil}, namedBool{"privileged", s.Privileged != nil},
			namedBool{"allowPrivilegeEscalation", s.AllowPrivilegeEscalation != nil}, namedBool{"procMount", s.ProcMount != nil},
			namedBool{"runAsUser", s.RunAsUser != nil}, namedBool{"runAsGroup", s.RunAsGroup != nil})
	})
}

type namedBool struct {
	name string
	set  bool
}

// hostProcess: either all containers of a pod are host processes or none is.
func (c *podCheck) hostProcess(at *field.Path) {
	var ofPod *bool
	if s := c.spec.SecurityContext; s != nil && s.WindowsOptions != nil {
		ofPod = s.WindowsOptions.HostProcess
	}
	all, count := 0, 0
	eachContainer(c.spec, at, func(ctr *corev1.Container, path *field.Path) {
		all++
		own := ofPod
		if s := ctr.SecurityContext; s != nil && s.WindowsOptions != nil && s.WindowsOptions.HostProcess != nil {
			own = s.WindowsOptions.HostProcess
			if ofPod != nil && *ofPod != *own {
				c.invalid(path.Child("securityContext", "windowsOptions", "hostProcess"), *own,
					fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *ofPod))
			}
		}
		if isTrue(own) {
			count++
		}
	})
	if count > 0 && count != all {
		c.invalid(at, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers")
	}
	if count > 0 && !c.spec.HostNetwork {
		c.invalid(at.Child("hostNetwork"), false, "hostNetwork must be true if pod contains any hostProcess containers")
	}
}
