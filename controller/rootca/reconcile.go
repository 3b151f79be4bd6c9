// Package rootca publishes the cluster's certificate authority in every active
// namespace, where projected service account volumes take it from (KEP-1205).
package rootca

import (
	"maps"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const (
	name = "kube-root-ca.crt"
	key  = "ca.crt"

	annotation  = "kubernetes.io/description"
	description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. " +
		"No other usage is guaranteed across distributions of Kubernetes clusters."
)

// Controller returns the controller that keeps the ConfigMap kube-root-ca.crt
// of every active namespace at ca, which is PEM.
func Controller(ca []byte) controller.Controller {
	data := map[string]string{key: string(ca)}
	return controller.Controller{
		Name:   "root-ca-certificate-publisher",
		For:    resource.Namespaces.Info,
		Reads:  []controller.Input{{Kind: resource.ConfigMaps.Info, Keys: namespaceOf}},
		Writes: []controller.Output{{Kind: resource.ConfigMaps.Info, Verbs: []resource.Verb{resource.Create, resource.Update}}},
		Reconcile: func(v *view.View, key view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			return reconcile(v, key, data)
		},
	}
}

func namespaceOf(_ *view.View, obj resource.Object) []view.Key {
	if obj.GetName() != name {
		return nil
	}
	return []view.Key{{Name: obj.GetNamespace()}}
}

func reconcile(v *view.View, key view.Key, data map[string]string) controller.Plan {
	ns, ok := view.Get(v, resource.Namespaces, "", key.Name)
	if !ok || ns.DeletionTimestamp != nil || ns.Status.Phase == corev1.NamespaceTerminating {
		return controller.Plan{}
	}
	have, ok := view.Get(v, resource.ConfigMaps, ns.Name, name)
	if !ok {
		op := client.Create(resource.ConfigMaps, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: name, Annotations: map[string]string{annotation: description}},
			Data:       maps.Clone(data),
		})
		op.Cause = "namespace " + ns.Name + " has no certificate authority"
		return controller.Plan{Do: []client.Op{op}}
	}
	// A description of the user's own wording may stay.
	if maps.Equal(have.Data, data) && len(have.BinaryData) == 0 && have.Annotations[annotation] != "" {
		return controller.Plan{}
	}
	want := have.DeepCopy()
	want.Data, want.BinaryData = maps.Clone(data), nil
	if want.Annotations[annotation] == "" {
		metav1.SetMetaDataAnnotation(&want.ObjectMeta, annotation, description)
	}
	op := client.Update(resource.ConfigMaps, want)
	op.Cause = "config map " + ns.Name + "/" + name + " is not as published"
	return controller.Plan{Do: []client.Op{op}}
}
