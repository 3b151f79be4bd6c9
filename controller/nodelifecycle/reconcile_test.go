package nodelifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

var now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// node makes a node that told its state an hour ago. words: a Ready status,
// conditions that are true, "cordoned", taints as key:effect or key:effect:age.
func node(name, words string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: ago(2 * time.Hour)}}
	for _, word := range strings.Fields(words) {
		parts := strings.Split(word, ":")
		c := corev1.NodeCondition{LastHeartbeatTime: ago(time.Hour), LastTransitionTime: ago(time.Hour)}
		switch {
		case strings.Contains(word, "="):
			key, value, _ := strings.Cut(word, "=")
			metav1.SetMetaDataLabel(&n.ObjectMeta, key, value)
		case word == "cordoned":
			n.Spec.Unschedulable = true
		case word == "Ready" || word == "NotReady" || word == "Unknown":
			c.Type, c.Status = corev1.NodeReady, map[string]corev1.ConditionStatus{"Ready": "True", "NotReady": "False", "Unknown": "Unknown"}[word]
			n.Status.Conditions = append(n.Status.Conditions, c)
		case len(parts) == 1:
			c.Type, c.Status = corev1.NodeConditionType(word), corev1.ConditionTrue
			n.Status.Conditions = append(n.Status.Conditions, c)
		default:
			taint := corev1.Taint{Key: long(parts[0]), Effect: corev1.TaintEffect(parts[1])}
			if len(parts) == 3 {
				age, err := time.ParseDuration(parts[2])
				if err != nil {
					panic(err)
				}
				at := ago(age)
				taint.TimeAdded = &at
			}
			n.Spec.Taints = append(n.Spec.Taints, taint)
		}
	}
	return n
}

func long(key string) string {
	if strings.Contains(key, "/") {
		return key
	}
	return "node.kubernetes.io/" + key
}

// pod makes a pod on n1 that is an hour old; tolerations as key:effect or
// key:effect:seconds.
func pod(name string, words string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: ago(time.Hour)},
		Spec:       corev1.PodSpec{NodeName: "n1"},
	}
	for _, word := range strings.Fields(words) {
		parts := strings.Split(word, ":")
		switch {
		case word == "ready":
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
		default:
			toleration := corev1.Toleration{Key: long(parts[0]), Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffect(parts[1])}
			if len(parts) == 3 {
				var seconds int64
				fmt.Sscan(parts[2], &seconds)
				toleration.TolerationSeconds = &seconds
			}
			p.Spec.Tolerations = append(p.Spec.Tolerations, toleration)
		}
	}
	return p
}

func renewed(d time.Duration) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: "n1"},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: now.Add(-d)}},
	}
}

func lasting(seconds int32, lease *coordinationv1.Lease) *coordinationv1.Lease {
	lease.Spec.LeaseDurationSeconds = &seconds
	return lease
}

func world(objects ...resource.Object) *view.View {
	edit := (&view.View{}).Edit()
	for i, obj := range objects {
		kind := resource.Nodes.Info
		switch obj.(type) {
		case *corev1.Pod:
			kind = resource.Pods.Info
		case *coordinationv1.Lease:
			kind = resource.Leases.Info
		}
		edit.Put(view.NewEntry(kind, obj, int64(i+1)))
	}
	return edit.View(100)
}

func text(plan controller.Plan) string {
	var lines []string
	for _, op := range plan.Do {
		line := op.String()
		switch obj := op.Object.(type) {
		case *corev1.Node:
			if op.Subresource == "status" {
				for _, c := range obj.Status.Conditions {
					line += fmt.Sprintf(" %s=%s", c.Type, c.Reason)
				}
				break
			}
			if was, ok := obj.Labels["beta.kubernetes.io/os"]; ok {
				line += " beta.kubernetes.io/os=" + was
			}
			for _, taint := range obj.Spec.Taints {
				line += fmt.Sprintf(" %s:%s:%s", strings.TrimPrefix(taint.Key, "node.kubernetes.io/"), taint.Effect, now.Sub(taint.TimeAdded.Time))
			}
		case *corev1.Pod:
			for _, c := range obj.Status.Conditions {
				line += fmt.Sprintf(" %s=%s", c.Type, c.Status)
			}
		}
		lines = append(lines, line)
	}
	for _, n := range plan.Events {
		lines = append(lines, "event "+n.Reason+" "+n.About.GetName())
	}
	if plan.Again > 0 {
		lines = append(lines, "again "+plan.Again.String())
	}
	return strings.Join(lines, "\n")
}

func TestPlan(t *testing.T) {
	other := node("n2", "Ready")
	for _, test := range []struct {
		name  string
		world []resource.Object
		want  string
	}{
		{"healthy", []resource.Object{node("n1", "Ready"), renewed(5 * time.Second)}, "again 35s"},
		{"silent", []resource.Object{node("n1", "Ready"), renewed(40 * time.Second)},
			"update nodes/status n1 Ready=NodeStatusUnknown MemoryPressure=NodeStatusNeverUpdated DiskPressure=NodeStatusNeverUpdated PIDPressure=NodeStatusNeverUpdated"},
		{"silent for longer than its lease is for", []resource.Object{node("n1", "Ready"), lasting(2, renewed(2*time.Second))},
			"update nodes/status n1 Ready=NodeStatusUnknown MemoryPressure=NodeStatusNeverUpdated DiskPressure=NodeStatusNeverUpdated PIDPressure=NodeStatusNeverUpdated"},
		{"healthy with a short lease", []resource.Object{node("n1", "Ready"), lasting(2, renewed(500*time.Millisecond))}, "again 1.5s"},
		{"a long lease gives no more time", []resource.Object{node("n1", "Ready"), lasting(600, renewed(5*time.Second))}, "again 35s"},
		{"silent, no lease", []resource.Object{node("n1", "NotReady DiskPressure")},
			"update nodes/status n1 Ready=NodeStatusUnknown DiskPressure=NodeStatusUnknown MemoryPressure=NodeStatusNeverUpdated PIDPressure=NodeStatusNeverUpdated"},
		{"never reported", []resource.Object{node("n1", "not-ready:NoSchedule:1m")},
			"update nodes/status n1 Ready=NodeStatusNeverUpdated MemoryPressure=NodeStatusNeverUpdated DiskPressure=NodeStatusNeverUpdated PIDPressure=NodeStatusNeverUpdated"},
		{"about to report", []resource.Object{node("n1", "not-ready:NoSchedule"), renewed(20 * time.Second)},
			"update nodes n1\nevent RegisteredNode n1\nagain 40s"},

		{"not ready", []resource.Object{node("n1", "NotReady"), other, renewed(0), pod("p", "ready"), pod("q", "")},
			"update pods/status shop/p Ready=False\nupdate nodes n1 not-ready:NoSchedule:0s not-ready:NoExecute:0s\n" +
				"event NodeNotReady p\nevent NodeNotReady n1\nagain 40s"},
		{"not ready, and its agent says that a pod is", []resource.Object{node("n1", "NotReady not-ready:NoSchedule:1m not-ready:NoExecute:1m"), other, renewed(0), pod("p", "ready not-ready:NoExecute")},
			"again 40s"},
		{"unknown", []resource.Object{node("n1", "Unknown MemoryPressure not-ready:NoSchedule:1m not-ready:NoExecute:1m"), other, renewed(0)},
			"update nodes n1 unreachable:NoSchedule:0s unreachable:NoExecute:0s memory-pressure:NoSchedule:0s\nagain 40s"},
		{"unknown, and a pod still says ready", []resource.Object{node("n1", "Unknown unreachable:NoSchedule:1m unreachable:NoExecute:1m"), other, renewed(0), pod("p", "ready")},
			"update pods/status shop/p Ready=False\nevent NodeNotReady p\nagain 40s"},
		{"every node down: nothing is evicted", []resource.Object{node("n1", "NotReady not-ready:NoSchedule:1m not-ready:NoExecute:1m"), node("n2", "Unknown"), renewed(0), pod("p", "")},
			"update nodes n1 not-ready:NoSchedule:1m0s\nagain 40s"},
		{"ready again", []resource.Object{node("n1", "Ready unreachable:NoSchedule:1m example.com/gpu:NoSchedule:1h unreachable:NoExecute:1m"), renewed(0)},
			"update nodes n1 example.com/gpu:NoSchedule:1h0m0s\nagain 40s"},
		{"pressures and cordon", []resource.Object{node("n1", "Ready DiskPressure PIDPressure NetworkUnavailable cordoned memory-pressure:NoSchedule:1h"), renewed(0)},
			"update nodes n1 disk-pressure:NoSchedule:0s network-unavailable:NoSchedule:0s pid-pressure:NoSchedule:0s unschedulable:NoSchedule:0s\nagain 40s"},
		{"a user's taint gets its time", []resource.Object{node("n1", "Ready example.com/x:NoExecute"), renewed(0), pod("p", "")},
			"update nodes n1 example.com/x:NoExecute:0s\nagain 40s"},
		{"old labels follow the new", []resource.Object{node("n1", "Ready kubernetes.io/os=linux beta.kubernetes.io/os=plan9"), renewed(0)},
			"update nodes n1 beta.kubernetes.io/os=linux\nagain 40s"},
		{"gone", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := world(test.world...)
			if got := text(Controller(Config{}).Reconcile(v, view.Key{Name: "n1"}, now, nil)); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestSilenceBeforeStartIsForgiven(t *testing.T) {
	c := Controller(Config{Grace: 30 * time.Second, Started: now.Add(-10 * time.Second)})
	v := world(node("n1", "Ready"), renewed(time.Hour))
	if got := text(c.Reconcile(v, view.Key{Name: "n1"}, now, nil)); got != "again 20s" {
		t.Errorf("got %q, want another look in 20s", got)
	}
}

func TestWakes(t *testing.T) {
	reads := Controller(Config{}).Reads
	renewal, pods, nodes := reads[0].Keys, reads[1].Keys, reads[2].Keys
	p := pod("p", "")
	for _, test := range []struct {
		name string
		keys []view.Key
		want string
	}{
		{"a renewed lease", renewal(world(node("n1", "Ready")), renewed(0)), "[]"},
		{"a pod of a good node", pods(world(node("n1", "Ready")), p), "[]"},
		{"a pod of a bad node that tells of it", pods(world(node("n1", "NotReady")), p), "[]"},
		{"a pod of a silent node", pods(world(node("n1", "Unknown")), p), "[n1]"},
		{"a pod without a node", pods(world(), &corev1.Pod{}), "[]"},
		{"a node of many", nodes(world(node("n1", "Ready"), node("n2", "Ready"), node("n3", "NotReady not-ready:NoExecute:1s")), node("n1", "")), "[]"},
		{"the last node goes down", nodes(world(node("n1", "NotReady"), node("n2", "NotReady not-ready:NoExecute:1s"), node("n3", "NotReady")), node("n1", "")), "[n2]"},
		{"the first node comes up", nodes(world(node("n1", "Ready"), node("n2", "NotReady"), node("n3", "")), node("n1", "")), "[n2]"},
	} {
		if got := fmt.Sprint(test.keys); got != test.want {
			t.Errorf("%s wakes %s, want %s", test.name, got, test.want)
		}
	}
}
