package serviceaccount

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

func TestDefaultAccount(t *testing.T) {
	now := time.Unix(1000, 0)
	active := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	ending := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", DeletionTimestamp: &metav1.Time{Time: now}}}
	account := func(name string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	}
	for _, test := range []struct {
		name    string
		ns      *corev1.Namespace
		account *corev1.ServiceAccount
		want    string
	}{
		{"missing", active, nil, "create serviceaccounts shop/default"},
		{"another account does not count", active, account("robot"), "create serviceaccounts shop/default"},
		{"present", active, account("default"), ""},
		{"terminating", ending, nil, ""},
		{"namespace gone", nil, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			edit := (&view.View{}).Edit()
			if test.ns != nil {
				edit.Put(view.NewEntry(resource.Namespaces.Info, test.ns.DeepCopy(), 1))
			}
			if test.account != nil {
				edit.Put(view.NewEntry(resource.ServiceAccounts.Info, test.account, 2))
			}
			got := ""
			for _, op := range Controller().Reconcile(edit.View(2), view.Key{Name: "shop"}, now, nil).Do {
				got += op.String()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWakes(t *testing.T) {
	keys := Controller().Reads[0].Keys
	for name, want := range map[string]int{"default": 1, "robot": 0} {
		got := keys(nil, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}})
		if len(got) != want || want == 1 && got[0] != (view.Key{Name: "shop"}) {
			t.Errorf("%s wakes %v, want %d keys", name, got, want)
		}
	}
}
