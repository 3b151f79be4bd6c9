package authz

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/view"
)

// nodeWorld has a pod on each of the nodes a and b, and a mirror pod on a.
func nodeWorld() *view.View {
	secret := func(name string) []corev1.Volume {
		return []corev1.Volume{
			{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}},
			{Name: "c", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim-" + name}}},
		}
	}
	mirror := &corev1.Pod{ObjectMeta: named("shop", "mirror"), Spec: corev1.PodSpec{NodeName: "a", Volumes: secret("stolen")}}
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	volume := &corev1.PersistentVolume{ObjectMeta: named("", "disk"), Spec: corev1.PersistentVolumeSpec{
		ClaimRef:               &corev1.ObjectReference{Namespace: "shop", Name: "claim-of-a"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{NodeStageSecretRef: &corev1.SecretReference{Namespace: "vault", Name: "key"}}},
	}}
	return world(
		&corev1.Pod{ObjectMeta: named("shop", "pa"), Spec: corev1.PodSpec{NodeName: "a", ServiceAccountName: "bot", Volumes: secret("of-a")}},
		&corev1.Pod{ObjectMeta: named("shop", "pb"), Spec: corev1.PodSpec{NodeName: "b", ServiceAccountName: "other", Volumes: secret("of-b")}},
		mirror, volume,
		&corev1.PersistentVolumeClaim{ObjectMeta: named("shop", "claim-of-a"), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "disk"}},
	)
}

func TestNodeMay(t *testing.T) {
	v := nodeWorld()
	const unrelated = "no relationship found between node 'a' and this object"
	only := func(field string) fields.Requirements {
		return fields.OneTermEqualSelector(field, "a").Requirements()
	}
	for _, test := range []struct {
		a    Attributes
		want string // why not; "yes" where it may
	}{
		{Attributes{Verb: "get", Resource: "secrets", Namespace: "shop", Name: "of-a"}, "yes"},
		{Attributes{Verb: "watch", Resource: "secrets", Namespace: "shop", Name: "of-a"}, "yes"},
		{Attributes{Verb: "get", Resource: "secrets", Namespace: "yard", Name: "of-a"}, unrelated},
		{Attributes{Verb: "get", Resource: "secrets", Namespace: "shop", Name: "of-b"}, unrelated},
		{Attributes{Verb: "get", Resource: "secrets", Namespace: "shop", Name: "stolen"}, unrelated},
		{Attributes{Verb: "get", Resource: "secrets", Namespace: "vault", Name: "key"}, "yes"},
		{Attributes{Verb: "list", Resource: "secrets", Namespace: "shop"}, "No Object name found"},
		{Attributes{Verb: "list", Resource: "secrets"}, "can only read namespaced object of this type"},
		{Attributes{Verb: "update", Resource: "secrets", Namespace: "shop", Name: "of-a"}, "can only read resources of this type"},
		{Attributes{Verb: "get", Resource: "configmaps", Namespace: "shop", Name: "x"}, unrelated},
		{Attributes{Verb: "get", Resource: "persistentvolumeclaims", Namespace: "shop", Name: "claim-of-a"}, "yes"},
		{Attributes{Verb: "patch", Resource: "persistentvolumeclaims", Subresource: "status", Namespace: "shop", Name: "claim-of-b"}, unrelated},
		{Attributes{Verb: "list", Resource: "persistentvolumes"}, "can only get individual resources of this type"},
		{Attributes{Verb: "get", Resource: "persistentvolumes", Name: "disk"}, "yes"},
		{Attributes{Verb: "create", Resource: "serviceaccounts", Subresource: "token", Namespace: "shop", Name: "bot"}, "yes"},
		{Attributes{Verb: "create", Resource: "serviceaccounts", Subresource: "token", Namespace: "shop", Name: "other"}, unrelated},
		{Attributes{Verb: "list", Resource: "nodes"}, "node 'a' cannot read all nodes, only its own Node object"},
		{Attributes{Verb: "get", Resource: "nodes", Name: "b"}, "node 'a' cannot read 'b', only its own Node object"},
		{Attributes{Verb: "watch", Resource: "nodes", Name: "a"}, "yes"},
		{Attributes{Verb: "patch", Resource: "nodes", Subresource: "status", Name: "a"}, "yes"},
		{Attributes{Verb: "delete", Resource: "nodes", Name: "a"}, ""},
		{Attributes{Verb: "list", Resource: "pods"}, "can only list/watch pods with spec.nodeName field selector"},
		{Attributes{Verb: "watch", Resource: "pods", Fields: only("spec.nodeName")}, "yes"},
		{Attributes{Verb: "get", Resource: "pods", Namespace: "shop", Name: "pa"}, "yes"},
		{Attributes{Verb: "get", Resource: "pods", Namespace: "shop", Name: "pb"}, unrelated},
		{Attributes{Verb: "patch", Resource: "pods", Namespace: "shop", Name: "pa"}, ""},
		{Attributes{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "kube-node-lease", Name: "a"}, "yes"},
		{Attributes{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "kube-node-lease", Name: "b"}, "can only access node lease with the same name as the requesting node"},
		{Attributes{Verb: "get", Group: "coordination.k8s.io", Resource: "leases", Namespace: "shop", Name: "a"}, `can only access leases in the "kube-node-lease" system namespace`},
		{Attributes{Verb: "get", Group: "storage.k8s.io", Resource: "csinodes", Name: "b"}, "can only access CSINode with the same name as the requesting node"},
		{Attributes{Verb: "create", Group: "events.k8s.io", Resource: "events", Namespace: "shop"}, "yes"},
		{Attributes{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "shop"}, ""},
	} {
		ok, why := nodeMay(v, "a", &test.a)
		if ok {
			why = "yes"
		}
		if why != test.want {
			t.Errorf("%s %q: got %q, want %q", test.a, test.a.Name, why, test.want)
		}
	}
}

func TestUnknownNode(t *testing.T) {
	var z Authorizer
	a := Attributes{User: authn.User{Name: "system:node:", Groups: []string{authn.Nodes}}, Verb: "get", Resource: "secrets"}
	if verdict := z.Allowed(nodeWorld(), &a); verdict.Allowed || verdict.Reason() != `unknown node for user "system:node:"` {
		t.Errorf("got %t %q", verdict.Allowed, verdict.Reason())
	}
}
