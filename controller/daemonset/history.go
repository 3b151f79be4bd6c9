package daemonset

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller/history"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
)

const hashLabel = appsv1.ControllerRevisionHashLabelKey

// revisions is a DaemonSet's history.
type revisions struct {
	hash string                       // of the current template, as on its pods
	old  []*appsv1.ControllerRevision // oldest first
}

// record finds the revision of the current template, or makes it, and numbers it
// above all others.
func (s *set) record(selector labels.Selector) {
	list, ops := history.Claim(s.v, s.ds, resource.DaemonSets.Info, selector)
	s.plan.Do = append(s.plan.Do, ops...)
	data := history.Data(&s.ds.Spec.Template)
	var current []*appsv1.ControllerRevision
	for _, r := range list {
		if r.Labels[hashLabel] == "" {
			s.plan.Do = append(s.plan.Do, label(resource.ControllerRevisions, r, r.Name))
		}
		if history.Records(r, data) {
			current = append(current, r)
		} else {
			s.history.old = append(s.history.old, r)
		}
	}
	number := history.Next(s.history.old)
	if len(current) == 0 {
		s.snapshot(data, number)
		return
	}
	keep := current[len(current)-1]
	s.history.hash = hashOf(keep)
	if len(current) > 1 {
		s.merge(current[:len(current)-1])
	}
	if keep.Revision < number {
		s.plan.Do = append(s.plan.Do, history.Renumber(keep, number))
	}
}

// hashOf is a revision's label, or the one it is given.
func hashOf(r *appsv1.ControllerRevision) string {
	if hash := r.Labels[hashLabel]; hash != "" {
		return hash
	}
	return r.Name
}

// label returns the operation that puts a hash on a pod or revision.
func label[T resource.Object](kind *resource.Typed[T], obj T, hash string) client.Op {
	return client.MergePatch(kind, obj.GetNamespace(), obj.GetName(), "", map[string]any{
		"metadata": map[string]any{"uid": obj.GetUID(), "labels": map[string]string{hashLabel: hash}},
	})
}

// merge gives the pods the hash of the one current revision, and deletes the
// others that record the same.
func (s *set) merge(others []*appsv1.ControllerRevision) {
	for _, p := range s.all {
		if p.Labels[hashLabel] != s.history.hash {
			s.plan.Do = append(s.plan.Do, label(resource.Pods, p, s.history.hash))
		}
	}
	for _, r := range others {
		s.plan.Do = append(s.plan.Do, client.Delete(resource.ControllerRevisions, r))
	}
}

// snapshot makes the revision of the current template.
func (s *set) snapshot(data []byte, number int64) {
	template := &s.ds.Spec.Template
	var hash string
	name, taken, count := history.Place(s.v, s.ds, data, s.ds.Status.CollisionCount, func(collisions *int32) string {
		hash = pod.HashTemplate(template, collisions)
		return hash
	})
	s.status.CollisionCount = count
	if taken != nil {
		s.history.hash = hashOf(taken)
		return
	}
	s.history.hash = hash
	s.plan.Do = append(s.plan.Do, history.Make(s.ds, resource.DaemonSets.Info, template, name, hashLabel, hash, data, number))
}

// forget deletes old revisions beyond the limit that no pod is of.
func (s *set) forget() {
	live := map[string]bool{}
	for _, p := range s.all {
		if _, ok := target(p); ok {
			live[p.Labels[hashLabel]] = true
		}
	}
	limit := 10 // the API's default
	if n := s.ds.Spec.RevisionHistoryLimit; n != nil {
		limit = int(*n)
	}
	s.plan.Do = append(s.plan.Do, history.Forget(s.history.old, len(s.history.old)-limit, func(r *appsv1.ControllerRevision) bool {
		return live[hashOf(r)]
	})...)
}
