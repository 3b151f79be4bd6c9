package rootca

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func TestPublish(t *testing.T) {
	now := time.Unix(1000, 0)
	right := map[string]string{"ca.crt": "PEM"}
	described := map[string]string{annotation: description}
	for _, test := range []struct {
		name        string
		ending      bool
		absent      bool
		data        map[string]string
		annotations map[string]string
		want        string
		wantNote    string
	}{
		{name: "missing", absent: true, want: "create configmaps shop/kube-root-ca.crt", wantNote: description},
		{name: "right", data: right, annotations: described},
		{name: "own description", data: right, annotations: map[string]string{annotation: "ours"}},
		{name: "changed", data: map[string]string{"ca.crt": "evil"}, annotations: described, want: "update configmaps shop/kube-root-ca.crt", wantNote: description},
		{name: "added key", data: map[string]string{"ca.crt": "PEM", "x": "y"}, annotations: map[string]string{annotation: "ours"}, want: "update configmaps shop/kube-root-ca.crt", wantNote: "ours"},
		{name: "no description", data: right, want: "update configmaps shop/kube-root-ca.crt", wantNote: description},
		{name: "terminating", ending: true, absent: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			edit := (&view.View{}).Edit()
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
			if test.ending {
				ns.DeletionTimestamp = &metav1.Time{Time: now}
			}
			edit.Put(view.NewEntry(resource.Namespaces.Info, ns, 1))
			if !test.absent {
				edit.Put(view.NewEntry(resource.ConfigMaps.Info, &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: test.annotations}, Data: test.data,
				}, 2))
			}
			plan := Controller([]byte("PEM")).Reconcile(edit.View(2), view.Key{Name: "shop"}, now, nil)
			got := ""
			for _, op := range plan.Do {
				got += op.String()
				cm := op.Object.(*corev1.ConfigMap)
				if !maps.Equal(cm.Data, right) || cm.Annotations[annotation] != test.wantNote {
					t.Errorf("writes %v %v", cm.Data, cm.Annotations)
				}
				if op.Verb == resource.Update && cm.ResourceVersion != "2" {
					t.Errorf("update at resource version %q, want 2", cm.ResourceVersion)
				}
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestPlansShareNothing(t *testing.T) {
	edit := (&view.View{}).Edit()
	edit.Put(view.NewEntry(resource.Namespaces.Info, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, 1))
	v, c := edit.View(1), Controller([]byte("PEM"))
	first := c.Reconcile(v, view.Key{Name: "shop"}, time.Time{}, nil).Do[0].Object.(*corev1.ConfigMap)
	first.Data["ca.crt"] = "changed"
	second := c.Reconcile(v, view.Key{Name: "shop"}, time.Time{}, nil).Do[0].Object.(*corev1.ConfigMap)
	if second.Data["ca.crt"] != "PEM" {
		t.Error("a plan's object is shared with the next plan")
	}
}
