package certificates

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// serving is the signer of the API server's own certificate.
const serving = "kubernetes.io/kube-apiserver-serving"

// Publisher returns the controller that keeps one ClusterTrustBundle with the
// authority of the API server's certificate, PEM, and no other of its signer
// (KEP-3257).
func Publisher(authority []byte) controller.Controller {
	// Its one key is a namespace that is always there, so that it is asked at the
	// start when there is no bundle yet.
	only := []view.Key{{Name: metav1.NamespaceSystem}}
	bundles := resource.ClusterTrustBundles.Info
	return controller.Controller{
		Name:  "kube-apiserver-serving-clustertrustbundle-publisher",
		For:   resource.Namespaces.Info,
		Wants: func(ns resource.Object) bool { return ns.GetName() == metav1.NamespaceSystem },
		Reads: []controller.Input{{Kind: bundles, Keys: func(_ *view.View, b resource.Object) []view.Key {
			if b.(*certificatesv1.ClusterTrustBundle).Spec.SignerName != serving {
				return nil
			}
			return only
		}}},
		Writes: []controller.Output{{Kind: bundles, Verbs: []resource.Verb{resource.Create, resource.Update, resource.Delete}}},
		Reconcile: func(v *view.View, _ view.Key, _ time.Time, _ *rand.Rand) controller.Plan {
			return publish(v, string(authority))
		},
	}
}

func publish(v *view.View, authority string) controller.Plan {
	sum := sha256.Sum256([]byte(authority))
	name := fmt.Sprintf("%s:%x", strings.ReplaceAll(serving, "/", ":"), sum[:12])
	var plan controller.Plan
	do := func(op client.Op, cause string) {
		op.Cause = cause
		plan.Do = append(plan.Do, op)
	}
	switch have, ok := view.Get(v, resource.ClusterTrustBundles, "", name); {
	case !ok:
		do(client.Create(resource.ClusterTrustBundles, &certificatesv1.ClusterTrustBundle{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       certificatesv1.ClusterTrustBundleSpec{SignerName: serving, TrustBundle: authority},
		}), "nobody publishes the API server's authority")
	case have.Spec.TrustBundle != authority:
		next := have.DeepCopy()
		next.Spec.TrustBundle = authority
		do(client.Update(resource.ClusterTrustBundles, next), "trust bundle "+name+" is not as published")
	}
	for b := range view.List(v, resource.ClusterTrustBundles, "") {
		if b.Spec.SignerName == serving && b.Name != name {
			do(client.Delete(resource.ClusterTrustBundles, b), "the API server has another authority now")
		}
	}
	return plan
}
