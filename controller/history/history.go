// Package history keeps the ControllerRevisions of DaemonSets and StatefulSets:
// what a revision records, how it is named, which ones are an object's, and
// which ones may go. All of it is pure.
package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Data returns what a revision records of a pod template: a strategic merge
// patch of its owner that puts the template back. kubectl rollout undo sends it.
func Data(template *corev1.PodTemplateSpec) []byte {
	recorded := map[string]any{}
	data, err := json.Marshal(template)
	if err == nil {
		err = json.Unmarshal(data, &recorded)
	}
	if err == nil {
		recorded["$patch"] = "replace"
		data, err = json.Marshal(map[string]any{"spec": map[string]any{"template": recorded}})
	}
	if err != nil {
		panic(fmt.Sprintf("marshal pod template: %v", err)) // plain data
	}
	return data
}

// Template returns the pod template that a revision recorded.
func Template(revision *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var recorded struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(revision.Data.Raw, &recorded); err != nil {
		return nil, fmt.Errorf("read ControllerRevision %s: %w", view.KeyOf(revision), err)
	}
	return &recorded.Spec.Template, nil
}

// Hash names what a revision records, as upstream does. collisions is mixed in
// where it is not nil.
func Hash(data []byte, collisions *int32) string {
	h := fnv.New32()
	h.Write(data)
	if collisions != nil {
		h.Write([]byte(strconv.Itoa(int(*collisions))))
	}
	return utilrand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}

// Records says that a revision records data.
func Records(r *appsv1.ControllerRevision, data []byte) bool { return bytes.Equal(r.Data.Raw, data) }

// Place finds a name for a revision that records data. hash names it, given the
// count of collisions, which grows as long as the name is taken by a revision
// that records something else. taken is the revision of that name with that
// data; nil if there is none.
func Place(v *view.View, owner metav1.Object, data []byte, collisions *int32, hash func(collisions *int32) string) (name string, taken *appsv1.ControllerRevision, count *int32) {
	for {
		name := nameOf(owner.GetName(), hash(collisions))
		r, found := view.Get(v, resource.ControllerRevisions, owner.GetNamespace(), name)
		switch {
		case !found:
			return name, nil, collisions
		case Records(r, data):
			return name, r, collisions
		}
		collisions = ptr.To(ptr.Deref(collisions, 0) + 1)
	}
}

// Make returns the operation that creates an owner's revision: it has the labels of
// the template, and the hash under a label of its kind's.
func Make(owner metav1.Object, kind *resource.Info, template *corev1.PodTemplateSpec, name, hashLabel, hash string, data []byte, number int64) client.Op {
	own := map[string]string{}
	maps.Copy(own, template.Labels)
	own[hashLabel] = hash
	return client.Create(resource.ControllerRevisions, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: owner.GetNamespace(), Labels: own, Annotations: owner.GetAnnotations(),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind.GVK)},
		},
		Data: runtime.RawExtension{Raw: data}, Revision: number,
	})
}

// nameOf leaves a hash of any length room in a name of 253 bytes.
func nameOf(owner, hash string) string {
	const longest = 223
	return owner[:min(len(owner), longest)] + "-" + hash
}

// Claim returns the revisions that are owner's, of kind, oldest first, and the
// adoptions and releases that make them so.
func Claim(v *view.View, owner metav1.Object, kind *resource.Info, selector labels.Selector) (list []*appsv1.ControllerRevision, ops []client.Op) {
	alive := owner.GetDeletionTimestamp() == nil
	for r := range view.List(v, resource.ControllerRevisions, owner.GetNamespace()) {
		of := metav1.GetControllerOfNoCopy(r)
		matches := selector.Matches(labels.Set(r.Labels))
		switch {
		case of != nil && of.UID != owner.GetUID():
		case of != nil && matches:
			list = append(list, r)
		case !alive:
		case of != nil:
			ops = append(ops, pod.Release(resource.ControllerRevisions.Info, r, owner.GetUID()))
		case matches && r.DeletionTimestamp == nil:
			list = append(list, r)
			ops = append(ops, pod.Adopt(resource.ControllerRevisions.Info, r, owner, kind))
		}
	}
	slices.SortFunc(list, byRevision)
	return list, ops
}

func byRevision(a, b *appsv1.ControllerRevision) int {
	return cmp.Or(cmp.Compare(a.Revision, b.Revision),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

// Next is one above the highest revision of a list that is oldest first.
func Next(list []*appsv1.ControllerRevision) int64 {
	if len(list) == 0 {
		return 1
	}
	return list[len(list)-1].Revision + 1
}

// Renumber returns the operation that makes r the revision number n.
func Renumber(r *appsv1.ControllerRevision, n int64) client.Op {
	return client.MergePatch(resource.ControllerRevisions, r.Namespace, r.Name, "", map[string]any{
		"metadata": map[string]any{"uid": r.UID}, "revision": n,
	})
}

// Forget deletes the n oldest revisions of a list that are not live.
func Forget(list []*appsv1.ControllerRevision, n int, live func(*appsv1.ControllerRevision) bool) (ops []client.Op) {
	for _, r := range list {
		if len(ops) >= n {
			break
		}
		if !live(r) {
			ops = append(ops, client.Delete(resource.ControllerRevisions, r))
		}
	}
	return ops
}
