package cluster

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseLabelsAndTaints(t *testing.T) {
	labels := func(texts []string) (any, error) { return parseNodeLabels(texts) }
	taints := func(texts []string) (any, error) { return parseTaints(texts) }
	for _, test := range []struct {
		parse func([]string) (any, error)
		text  string
		want  string // of what is read, or within the error
	}{
		{labels, "", "map[]"},
		{labels, "rack=7,topology.kubernetes.io/zone=a,empty=", "map[empty: rack:7 topology.kubernetes.io/zone:a]"},
		{labels, "rack", "key=value"},
		{labels, "rack=a b", `"rack=a b"`},
		{labels, "node-role.kubernetes.io/control-plane=", "node-role.kubernetes.io/control-plane"},
		{labels, "node-restriction.kubernetes.io/pci=yes", "node-restriction.kubernetes.io/pci"},
		{taints, "gpu=yes:NoSchedule,gpu:NoExecute", "[{gpu yes NoSchedule <nil>} {gpu  NoExecute <nil>}]"},
		{taints, "gpu=yes", ":PreferNoSchedule"},
		{taints, "gpu=yes:Never", `"gpu=yes:Never"`},
		{taints, "gpu=a:NoSchedule,gpu=b:NoSchedule", "already"},
		{taints, ":NoSchedule", `":NoSchedule"`},
	} {
		var texts []string
		if test.text != "" {
			texts = strings.Split(test.text, ",")
		}
		got, err := test.parse(texts)
		if err == nil && fmt.Sprint(got) != test.want || err != nil && (!strings.HasPrefix(err.Error(), "--") || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, %v; want %s", test.text, got, err, test.want)
		}
	}
}
