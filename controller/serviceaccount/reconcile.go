// Package serviceaccount gives every active namespace the ServiceAccount
// "default", which pods run as that name no other.
package serviceaccount

import (
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// name is the account that admission gives to pods without one.
const name = "default"

// Controller returns the controller that makes default accounts, and makes them
// anew when they are deleted.
func Controller() controller.Controller {
	return controller.Controller{
		Name:      "service-account",
		For:       resource.Namespaces.Info,
		Reads:     []controller.Input{{Kind: resource.ServiceAccounts.Info, Keys: namespaceOf}},
		Writes:    []controller.Output{{Kind: resource.ServiceAccounts.Info, Verbs: []resource.Verb{resource.Create}}},
		Reconcile: reconcile,
	}
}

func namespaceOf(_ *view.View, obj resource.Object) []view.Key {
	if obj.GetName() != name {
		return nil
	}
	return []view.Key{{Name: obj.GetNamespace()}}
}

func reconcile(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
	ns, ok := view.Get(v, resource.Namespaces, "", key.Name)
	if !ok || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating {
		return controller.Plan{}
	}
	if _, ok := view.Get(v, resource.ServiceAccounts, ns.Name, name); ok {
		return controller.Plan{}
	}
	op := client.Create(resource.ServiceAccounts, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: name},
	})
	op.Cause = "namespace " + ns.Name + " has no default service account"
	return controller.Plan{Do: []client.Op{op}}
}
