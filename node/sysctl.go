package node

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// safeSysctls are the kernel settings that a pod may make: they are the pod's
// own and do not touch others. All are namespaced in every kernel that runs the
// pinned container runtime well (5.10 or later).
func safeSysctls() []string {
	return []string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
		"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
		"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
		"net.ipv4.tcp_wmem", "net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat",
	}
}

// sysctlsAllowed refuses a pod whose kernel settings are not safe, or would be
// made on the node itself.
func sysctlsAllowed(pod *corev1.Pod) *Refusal {
	sc := pod.Spec.SecurityContext
	if sc == nil {
		return nil
	}
	for _, s := range sc.Sysctls {
		name := normalSysctl(s.Name)
		forbidden := func(why string) *Refusal {
			return &Refusal{"SysctlForbidden", fmt.Sprintf("forbidden sysctl: %q %s", name, why)}
		}
		switch {
		case !slices.Contains(safeSysctls(), name):
			return forbidden("not allowlisted")
		case pod.Spec.HostNetwork && strings.HasPrefix(name, "net."):
			return forbidden("not allowed with host Net enabled")
		case pod.Spec.HostIPC && strings.HasPrefix(name, "kernel."):
			return forbidden("not allowed with host IPC enabled")
		}
	}
	return nil
}

// normalSysctl writes a name with dots, where it was given with slashes: then
// dots within its parts were slashes.
func normalSysctl(name string) string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '.' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '/':
			return '.'
		case '.':
			return '/'
		}
		return r
	}, name)
}
