// Package preview says what a change would lead to: it forks a cluster's objects
// into one in memory, makes the change there, lets admission, controllers,
// scheduler and simulated nodes come to rest on virtual time, and compares. The
// real cluster is only read.
package preview

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Report is what a change leads to.
type Report struct {
	// Objects are those that users write or that controllers keep for them,
	// pods left out.
	Objects []Object `json:"objects"`
	// Pods are those that do not stay as they are.
	Pods []Pod `json:"pods"`
	// Refused are changes that the cluster did not take, each with its reason.
	Refused []string `json:"refused,omitempty"`
	// Unsettled says that controllers had still work to do when the preview
	// stopped.
	Unsettled bool `json:"unsettled,omitempty"`
}

// The fates of an object.
const (
	Created = "created"
	Changed = "changed"
	Deleted = "deleted"
)

// Object is one that is created, changed or deleted.
type Object struct {
	Kind      string `json:"kind"` // as kubectl names it: "deployments.apps"
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Fate      string `json:"fate"`
}

// The fates of a pod.
const (
	Started = "started" // new, and runs
	Pending = "pending" // new or old, and has no node
	Moved   = "moved"   // ended on one node and replaced on another
	Renewed = "renewed" // ended and replaced on the same node
	Killed  = "killed"  // ended, and nothing in its place
)

// Pod is one whose state changes. One that is replaced is named once.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"` // of the new one, where it is replaced
	Old       string `json:"old,omitempty"`
	Owner     string `json:"owner,omitempty"` // the object at the top: "Deployment web"
	Fate      string `json:"fate"`
	From      string `json:"from,omitempty"` // node
	To        string `json:"to,omitempty"`   // node
	// Why is what the scheduler says of a pod without a node.
	Why string `json:"why,omitempty"`
}

// Compare returns what differs between two views of a cluster, of kinds.
func Compare(before, after *view.View, kinds []*resource.Info) Report {
	r := Report{Objects: []Object{}, Pods: []Pod{}}
	for _, kind := range kinds {
		if !ofInterest(kind) {
			continue
		}
		for e := range after.Entries(kind, "", view.Key{}) {
			old := before.Entry(kind, e.Key)
			switch {
			case old == nil:
				r.add(kind, e.Key, Created)
			case old.Object.GetUID() != e.Object.GetUID() || !same(kind, old.Object, e.Object):
				r.add(kind, e.Key, Changed)
			}
		}
		for e := range before.Entries(kind, "", view.Key{}) {
			if after.Entry(kind, e.Key) == nil {
				r.add(kind, e.Key, Deleted)
			}
		}
	}
	r.pods(before, after)
	return r
}

func (r *Report) add(kind *resource.Info, key view.Key, fate string) {
	r.Objects = append(r.Objects, Object{Kind: kind.GR().String(), Namespace: key.Namespace, Name: key.Name, Fate: fate})
}

// ofInterest leaves out what follows from the rest, or says it again.
func ofInterest(kind *resource.Info) bool {
	switch kind.GVR.Resource {
	case "pods", "events", "leases", "endpoints", "endpointslices", "controllerrevisions":
		return false
	}
	return true
}

// same tells whether an object asks for the same, whatever its status says.
func same(kind *resource.Info, a, b resource.Object) bool {
	if a.GetResourceVersion() == b.GetResourceVersion() {
		return true
	}
	return apiequality.Semantic.DeepEqual(asked(kind, a), asked(kind, b))
}

// asked is an object without what the server and controllers write.
func asked(kind *resource.Info, obj resource.Object) resource.Object {
	out := obj.DeepCopyObject().(resource.Object)
	if kind.CopyStatus != nil {
		kind.CopyStatus(out, kind.New())
	}
	out.SetResourceVersion("")
	out.SetGeneration(0)
	out.SetManagedFields(nil)
	return out
}

// pods pairs those that end with those that take their place.
func (r *Report) pods(before, after *view.View) {
	ended, begun := map[string][]*corev1.Pod{}, map[string][]*corev1.Pod{}
	for p := range view.List(before, resource.Pods, "") {
		now, stays := view.Get(after, resource.Pods, p.Namespace, p.Name)
		switch {
		case !stays || now.UID != p.UID, ending(now) && !ending(p):
			if !over(p) {
				owner := top(before, p)
				ended[owner] = append(ended[owner], p)
			}
		case p.Spec.NodeName == "" && now.Spec.NodeName != "":
			r.Pods = append(r.Pods, Pod{Namespace: p.Namespace, Name: p.Name, Owner: title(top(after, p)), Fate: Started, To: now.Spec.NodeName})
		}
	}
	for p := range view.List(after, resource.Pods, "") {
		if was, there := view.Get(before, resource.Pods, p.Namespace, p.Name); !there || was.UID != p.UID {
			owner := top(after, p)
			begun[owner] = append(begun[owner], p)
		}
	}
	for owner, list := range ended {
		r.replace(owner, list, begun)
	}
	for owner, list := range begun {
		for _, p := range list {
			r.Pods = append(r.Pods, fresh(owner, p))
		}
	}
	slices.SortFunc(r.Pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Name, b.Name))
	})
}

// replace adds the fates of an owner's pods that end. What takes a pod's place is
// of the same owner: first come those of the same name, then those on the same
// node, then any.
func (r *Report) replace(owner string, ended []*corev1.Pod, begun map[string][]*corev1.Pod) {
	for _, fits := range []func(old, next *corev1.Pod) bool{
		func(old, next *corev1.Pod) bool { return old.Name == next.Name },
		func(old, next *corev1.Pod) bool { return old.Spec.NodeName == next.Spec.NodeName },
		func(*corev1.Pod, *corev1.Pod) bool { return true },
	} {
		ended = slices.DeleteFunc(ended, func(old *corev1.Pod) bool {
			i := slices.IndexFunc(begun[owner], func(next *corev1.Pod) bool { return fits(old, next) })
			if i < 0 || owner == "" {
				return false
			}
			r.Pods = append(r.Pods, replaced(owner, old, begun[owner][i]))
			begun[owner] = slices.Delete(begun[owner], i, i+1)
			return true
		})
	}
	for _, old := range ended {
		r.Pods = append(r.Pods, Pod{Namespace: old.Namespace, Name: old.Name, Owner: title(owner), Fate: Killed, From: old.Spec.NodeName})
	}
}

// replaced is the fate of a pod that another takes the place of.
func replaced(owner string, old, next *corev1.Pod) Pod {
	p := fresh(owner, next)
	p.From = old.Spec.NodeName
	if next.Name != old.Name {
		p.Old = old.Name
	}
	switch {
	case p.Fate == Pending:
	case p.From == p.To:
		p.Fate = Renewed
	default:
		p.Fate = Moved
	}
	return p
}

func fresh(owner string, p *corev1.Pod) Pod {
	out := Pod{Namespace: p.Namespace, Name: p.Name, Owner: title(owner), Fate: Started, To: p.Spec.NodeName}
	if p.Spec.NodeName == "" && !over(p) {
		out.Fate = Pending
		if c := resource.PodCondition(p, corev1.PodScheduled); c != nil {
			out.Why = c.Message
		}
	}
	return out
}

// ending tells whether a pod is being deleted: on a node that is dead it stays so.
func ending(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

// over tells whether a pod has run to its end.
func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// top names the object that a pod is there for in the end, by kind, namespace
// and name: a Deployment rather than its ReplicaSet. "" where there is none.
func top(v *view.View, p *corev1.Pod) string {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil {
		return ""
	}
	name := ref.Kind + " " + ref.Name
	if ref.Kind == "ReplicaSet" {
		if rs, ok := view.Get(v, resource.ReplicaSets, p.Namespace, ref.Name); ok {
			if above := metav1.GetControllerOfNoCopy(rs); above != nil {
				name = above.Kind + " " + above.Name
			}
		}
	}
	return p.Namespace + "/" + name
}

// title is a top without its namespace.
func title(owner string) string {
	_, name, _ := strings.Cut(owner, "/")
	return name
}
