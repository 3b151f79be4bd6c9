package preview

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// scene makes a view of lines: "pod NAME NODE OWNER", node "-" for none, "rs NAME
// OWNER" and "deploy NAME VERSION".
func scene(text string, revision int64) *view.View {
	edit := (&view.View{}).Edit()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		meta := metav1.ObjectMeta{Namespace: "shop", Name: w[1], UID: types.UID(line)}
		owned := func(kind, name string) {
			meta.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, UID: types.UID(name), Controller: new(true)}}
		}
		switch w[0] {
		case "deploy":
			meta.UID = "deploy"
			edit.Put(view.NewEntry(resource.Deployments.Info, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Paused: w[2] == "2"}}, revision))
		case "rs":
			meta.UID = "rs"
			owned("Deployment", w[2])
			edit.Put(view.NewEntry(resource.ReplicaSets.Info, &appsv1.ReplicaSet{ObjectMeta: meta}, revision))
		case "pod":
			if len(w) > 3 {
				owned("ReplicaSet", w[3])
			}
			p := &corev1.Pod{ObjectMeta: meta}
			if p.Spec.NodeName = w[2]; w[2] == "-" {
				p.Spec.NodeName = ""
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes are available"}}
			}
			edit.Put(view.NewEntry(resource.Pods.Info, p, revision))
		}
	}
	return edit.View(revision)
}

func TestCompare(t *testing.T) {
	for _, test := range []struct{ name, before, after, want string }{
		{"nothing", "deploy web 1\nrs web-1 web\npod a n1 web-1", "deploy web 1\nrs web-1 web\npod a n1 web-1", "Nothing would change."},
		{"a new pod", "", "pod a n1", `
			started  pods  shop/a  on n1
			0 created, 0 changed, 0 deleted; pods: 1 started. Nothing real was touched.`},
		{"no place", "", "pod a -", `
			pending  pods  shop/a  0/2 nodes are available
			0 created, 0 changed, 0 deleted; pods: 1 pending. Nothing real was touched.`},
		{"a rollout", "deploy web 1\nrs web-1 web\npod a n1 web-1\npod b n2 web-1",
			"deploy web 2\nrs web-1 web\nrs web-2 web\npod c n2 web-2\npod d n3 web-2", `
			changed  deployments.apps  shop/web
			created  replicasets.apps  shop/web-2
			renewed  pods              shop/c  on n2 (Deployment web)
			moved    pods              shop/d  from n1 to n3 (Deployment web)
			1 created, 1 changed, 0 deleted; pods: 1 moved, 1 renewed. Nothing real was touched.`},
		{"scaled down", "deploy web 1\nrs web-1 web\npod a n1 web-1\npod b n2 web-1", "deploy web 2\nrs web-1 web\npod a n1 web-1", `
			changed  deployments.apps  shop/web
			killed   pods              shop/b  on n2 (Deployment web)
			0 created, 1 changed, 0 deleted; pods: 1 killed. Nothing real was touched.`},
		{"all goes", "deploy web 1\nrs web-1 web\npod a n1 web-1", "", `
			deleted  deployments.apps  shop/web
			deleted  replicasets.apps  shop/web-1
			killed   pods              shop/a  on n1 (Deployment web)
			0 created, 0 changed, 2 deleted; pods: 1 killed. Nothing real was touched.`},
		{"a node is lost and the rest is full", "deploy x 1\nrs r x\npod a n1 r", "deploy x 1\nrs r x\npod b - r", `
			pending  pods  shop/b  from n1: 0/2 nodes are available (Deployment x)
			0 created, 0 changed, 0 deleted; pods: 1 pending. Nothing real was touched.`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Compare(scene(test.before, 1), scene(test.after, 2), []*resource.Info{resource.Deployments.Info, resource.ReplicaSets.Info, resource.Pods.Info})
			var out strings.Builder
			if err := r.Print(&out); err != nil {
				t.Fatal(err)
			}
			want := strings.TrimSpace(strings.ReplaceAll(test.want, "\n\t\t\t", "\n"))
			if got := strings.TrimSpace(out.String()); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
