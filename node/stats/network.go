package stats

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// mainInterface is the one that upstream tells of at the top.
const mainInterface = "eth0"

// network reads the interfaces in the network of a process, "self" for the
// agent's own; nil where the process is gone.
func network(process string) *statsapi.NetworkStats {
	data, err := os.ReadFile("/proc/" + process + "/net/dev")
	if err != nil {
		return nil
	}
	out := &statsapi.NetworkStats{Time: metav1.Now(), Interfaces: interfaces(string(data))}
	for _, i := range out.Interfaces {
		if i.Name == mainInterface {
			out.InterfaceStats = i
		}
	}
	return out
}

// networkOf is that of a pod.
func networkOf(process int, err error) *statsapi.NetworkStats {
	if err != nil || process == 0 {
		return nil
	}
	return network(fmt.Sprint(process))
}

// The columns of /proc/net/dev after the name.
const (
	receivedBytes  = 0
	receivedErrors = 2
	sentBytes      = 8
	sentErrors     = 10
)

// interfaces reads /proc/net/dev. The loopback carries nothing over a network.
func interfaces(table string) []statsapi.InterfaceStats {
	var out []statsapi.InterfaceStats
	for line := range strings.Lines(table) {
		name, rest, ok := strings.Cut(line, ":")
		values := strings.Fields(rest)
		if name = strings.TrimSpace(name); !ok || name == "lo" || len(values) <= sentErrors {
			continue
		}
		column := func(i int) *uint64 {
			n, err := strconv.ParseUint(values[i], 10, 64)
			if err != nil {
				return nil
			}
			return &n
		}
		out = append(out, statsapi.InterfaceStats{
			Name: name, RxBytes: column(receivedBytes), RxErrors: column(receivedErrors), TxBytes: column(sentBytes), TxErrors: column(sentErrors),
		})
	}
	return out
}
