package authz

import (
	"fmt"
	"iter"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// nodeRole is what all nodes may do alike, as rules.
var nodeRole = sync.OnceValue(func() *roleTable {
	return newRoleTable(UpstreamDefaults().ClusterRole("system:node").Rules)
})

// nodeMay decides for the node of a name: it may use what its pods use. The
// string says why not, in upstream's words.
//
// Only the pods of the one node are looked at, by the view's index; a node has a
// hundred or so.
func nodeMay(v *view.View, node string, a *Attributes) (bool, string) {
	n := nodeQuestion{v: v, node: node, a: a}
	if a.Path == "" && a.Group == "" {
		switch a.Resource {
		case "secrets":
			return n.secrets()
		case "configmaps":
			return n.read(resource.PodConfigMaps)
		case "persistentvolumeclaims":
			return n.claims()
		case "persistentvolumes":
			return n.get(n.volumeInUse)
		case "serviceaccounts":
			return n.serviceAccounts()
		case "nodes":
			return n.nodes()
		case "pods":
			return n.pods()
		}
	}
	switch a.Group + "/" + a.Resource {
	case "coordination.k8s.io/leases":
		return n.leases()
	case "storage.k8s.io/csinodes":
		return n.csiNodes()
	case "storage.k8s.io/volumeattachments", "resource.k8s.io/resourceclaims":
		return n.get(func() bool { return false }) // nothing here gives pods any
	case "resource.k8s.io/resourceslices":
		return n.slices()
	case "certificates.k8s.io/podcertificaterequests":
		return n.podCertificates()
	}
	return nodeRole().allows(a), ""
}

type nodeQuestion struct {
	v    *view.View
	node string
	a    *Attributes
}

func (n nodeQuestion) verb(verbs ...string) bool { return slices.Contains(verbs, n.a.Verb) }

// related is the answer where all depends on the object.
func (n nodeQuestion) related(is func() bool) (bool, string) {
	if n.a.Name == "" {
		return false, "No Object name found"
	}
	if is() {
		return true, ""
	}
	return false, fmt.Sprintf("no relationship found between node '%s' and this object", n.node)
}

// ownPods yields the node's pods in the request's namespace. Pods that the node
// made itself give it nothing.
func (n nodeQuestion) ownPods() iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for pod := range view.By(n.v, resource.Pods, resource.PodNodeIndex, n.node) {
			if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror || pod.Namespace != n.a.Namespace {
				continue
			}
			if !yield(pod) {
				return
			}
		}
	}
}

// named tells whether one of the node's pods names the object.
func (n nodeQuestion) named(names func(*corev1.Pod) iter.Seq[string]) bool {
	for pod := range n.ownPods() {
		for name := range names(pod) {
			if name == n.a.Name {
				return true
			}
		}
	}
	return false
}

func (n nodeQuestion) read(names func(*corev1.Pod) iter.Seq[string]) (bool, string) {
	switch {
	case !n.verb("get", "list", "watch"):
		return false, "can only read resources of this type"
	case n.a.Subresource != "":
		return false, "cannot read subresource"
	case n.a.Namespace == "":
		return false, "can only read namespaced object of this type"
	}
	return n.related(func() bool { return n.named(names) })
}

// secrets may be read that pods name, and those by which their volumes are
// mounted.
func (n nodeQuestion) secrets() (bool, string) {
	ok, why := n.read(resource.PodSecrets)
	if ok || n.a.Name == "" || !n.verb("get", "list", "watch") || n.a.Subresource != "" {
		return ok, why
	}
	for pv := range n.volumes() {
		for namespace, name := range resource.VolumeSecrets(pv) {
			if namespace == n.a.Namespace && name == n.a.Name {
				return true, ""
			}
		}
	}
	return false, why
}

// volumes yields the persistent volumes that are bound to claims of the node's
// pods.
func (n nodeQuestion) volumes() iter.Seq[*corev1.PersistentVolume] {
	return func(yield func(*corev1.PersistentVolume) bool) {
		for pod := range view.By(n.v, resource.Pods, resource.PodNodeIndex, n.node) {
			if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
				continue
			}
			for name := range resource.PodClaims(pod) {
				claim, ok := view.Get(n.v, resource.PersistentVolumeClaims, pod.Namespace, name)
				if !ok {
					continue
				}
				pv, ok := view.Get(n.v, resource.PersistentVolumes, "", claim.Spec.VolumeName)
				if !ok || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.Namespace != pod.Namespace || pv.Spec.ClaimRef.Name != name {
					continue
				}
				if !yield(pv) {
					return
				}
			}
		}
	}
}

func (n nodeQuestion) volumeInUse() bool {
	for pv := range n.volumes() {
		if pv.Name == n.a.Name {
			return true
		}
	}
	return false
}

func (n nodeQuestion) get(is func() bool) (bool, string) {
	switch {
	case n.a.Verb != "get":
		return false, "can only get individual resources of this type"
	case n.a.Subresource != "":
		return false, "cannot get subresource"
	}
	return n.related(is)
}

func (n nodeQuestion) claims() (bool, string) {
	used := func() bool { return n.named(resource.PodClaims) }
	if n.a.Subresource != "status" {
		return n.get(used)
	}
	if !n.verb("update", "patch") {
		return false, "can only get/update/patch this type"
	}
	return n.related(used)
}

func accountOf(pod *corev1.Pod) iter.Seq[string] {
	return func(yield func(string) bool) {
		if pod.Spec.ServiceAccountName != "" {
			yield(pod.Spec.ServiceAccountName)
		}
	}
}

func (n nodeQuestion) serviceAccounts() (bool, string) {
	switch {
	case n.a.Verb == "get" && n.a.Subresource == "":
		return n.read(accountOf)
	case n.a.Verb != "create" || n.a.Name == "":
		return false, "can only create tokens for individual service accounts"
	case n.a.Subresource != "token":
		return false, "can only create token subresource of serviceaccount"
	}
	return n.related(func() bool { return n.named(accountOf) })
}

func (n nodeQuestion) leases() (bool, string) {
	switch {
	case !n.verb("get", "create", "update", "patch", "delete"):
		return false, "can only get, create, update, patch, or delete a node lease"
	case n.a.Namespace != corev1.NamespaceNodeLease:
		return false, fmt.Sprintf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	case n.a.Verb != "create" && n.a.Name != n.node: // admission checks the name on create
		return false, "can only access node lease with the same name as the requesting node"
	}
	return true, ""
}

func (n nodeQuestion) csiNodes() (bool, string) {
	switch {
	case n.a.Subresource == "status":
		return false, "CSINode status access requires CSIVolumeHealth feature"
	case n.a.Subresource != "":
		return false, "cannot authorize CSINode subresources"
	case !n.verb("get", "create", "update", "patch", "delete"):
		return false, "can only get, create, update, patch, or delete a CSINode"
	case n.a.Verb != "create" && n.a.Name != n.node:
		return false, "can only access CSINode with the same name as the requesting node"
	}
	return true, ""
}

// selects tells whether the request is restricted to a field's value.
func (n nodeQuestion) selects(field string) bool {
	return slices.ContainsFunc(n.a.Fields, func(r fields.Requirement) bool {
		return r.Field == field && r.Operator == selection.Equals && r.Value == n.node
	})
}

func (n nodeQuestion) slices() (bool, string) {
	switch {
	case n.a.Subresource != "":
		return false, "cannot authorize ResourceSlice subresources"
	case n.a.Verb == "create":
		return true, "" // admission checks what is created
	case n.verb("get", "update", "patch", "delete"):
		return n.related(func() bool { return false })
	case !n.verb("watch", "list", "deletecollection"):
		return false, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection"
	case n.selects("spec.nodeName"):
		return true, ""
	}
	return false, "can only list/watch/deletecollection resourceslices with nodeName field selector"
}

func (n nodeQuestion) podCertificates() (bool, string) {
	switch {
	case n.a.Subresource != "":
		return false, "nodes may not access the status subresource of PodCertificateRequests"
	case n.a.Verb == "create":
		return true, "" // admission checks what is created
	case n.a.Verb == "get":
		return n.related(func() bool { return false })
	case !n.verb("list", "watch"):
		return false, fmt.Sprintf("nodes may not %s podcertificaterequests", n.a.Verb)
	case n.selects("spec.nodeName"):
		return true, ""
	}
	return false, "can only list/watch podcertificaterequests with nodeName field selector"
}

func (n nodeQuestion) nodes() (bool, string) {
	switch {
	case n.a.Subresource == "status":
		return n.verb("update", "patch"), ""
	case n.a.Subresource != "":
		return false, ""
	case n.verb("create", "update", "patch"):
		return true, "" // admission restricts it to its own
	case !n.verb("get", "list", "watch"):
		return false, ""
	case n.a.Name == n.node:
		return true, ""
	case n.a.Name == "":
		return false, fmt.Sprintf("node '%s' cannot read all nodes, only its own Node object", n.node)
	}
	return false, fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", n.node, n.a.Name)
}

func (n nodeQuestion) pods() (bool, string) {
	own := func() bool {
		pod, ok := view.Get(n.v, resource.Pods, n.a.Namespace, n.a.Name)
		return ok && pod.Spec.NodeName == n.node
	}
	switch {
	case n.a.Subresource == "status":
		return n.verb("update", "patch"), ""
	case n.a.Subresource == "eviction":
		return n.a.Verb == "create", ""
	case n.a.Subresource != "":
		return false, ""
	case n.a.Verb == "get":
		return n.get(own)
	case n.verb("list", "watch"):
		if n.selects("spec.nodeName") {
			return true, ""
		}
		if n.a.Name != "" {
			return n.related(own)
		}
		return false, "can only list/watch pods with spec.nodeName field selector"
	}
	return n.verb("create", "delete"), "" // admission restricts it to mirror pods and its own
}
