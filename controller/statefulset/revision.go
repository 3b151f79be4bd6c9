package statefulset

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/skiff-sh/skiff/controller/history"
	"github.com/skiff-sh/skiff/resource"
)

// hashLabel of a revision is the hash of what it records.
const hashLabel = "controller.kubernetes.io/hash"

// revision is a state of the template that pods are of.
type revision struct {
	name     string
	template *corev1.PodTemplateSpec
}

// record finds the revisions of pods to be made: that of the current template,
// which is made if it is not there, and the one that was rolled out before.
func (s *set) record(selector labels.Selector) error {
	list, ops := history.Claim(s.v, s.ss, resource.StatefulSets.Info, selector)
	s.history = list
	s.plan.Do = append(s.plan.Do, ops...)
	update, err := s.updateRevision(history.Data(&s.ss.Spec.Template))
	if err != nil {
		return err
	}
	s.update, s.current = update, update
	for _, r := range s.history {
		if r.Name == s.ss.Status.CurrentRevision {
			if s.current, err = restore(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func restore(r *appsv1.ControllerRevision) (revision, error) {
	template, err := history.Template(r)
	return revision{r.Name, template}, err
}

// updateRevision returns the revision that records data. One from earlier, in a
// rollback, becomes the last.
func (s *set) updateRevision(data []byte) (revision, error) {
	var same, last *appsv1.ControllerRevision
	for _, r := range s.history {
		last = r
		if history.Records(r, data) {
			same = r
		}
	}
	count := ptr.Deref(s.ss.Status.CollisionCount, 0)
	s.status.CollisionCount = &count
	switch {
	case same != nil && history.Records(last, data):
		return restore(last)
	case same != nil:
		s.plan.Do = append(s.plan.Do, history.Renumber(same, history.Next(s.history)))
		return restore(same)
	case last != nil && s.defaultsTo(last, data):
		return restore(last)
	}
	return s.snapshot(data), nil
}

// defaultsTo says that a revision records data but for the defaults of fields
// that were not there yet when it was made.
func (s *set) defaultsTo(r *appsv1.ControllerRevision, data []byte) bool {
	template, err := history.Template(r)
	if err != nil {
		return false
	}
	old := &appsv1.StatefulSet{Spec: *s.ss.Spec.DeepCopy()}
	old.Spec.Template = *template
	resource.StatefulSets.Info.Default(old)
	return string(history.Data(&old.Spec.Template)) == string(data)
}

// snapshot makes the revision of the current template.
func (s *set) snapshot(data []byte) revision {
	var hash string
	name, taken, count := history.Place(s.v, s.ss, data, s.status.CollisionCount, func(collisions *int32) string {
		hash = history.Hash(data, collisions)
		return hash
	})
	s.status.CollisionCount = count
	if taken == nil {
		s.plan.Do = append(s.plan.Do, history.Make(s.ss, resource.StatefulSets.Info, &s.ss.Spec.Template, name, hashLabel, hash, data, history.Next(s.history)))
	}
	return revision{name, &s.ss.Spec.Template}
}

// forget deletes old revisions beyond the limit, counted without those that are
// in use.
func (s *set) forget() {
	live := map[string]bool{s.current.name: true, s.update.name: true}
	for _, p := range s.pods {
		live[revisionOf(p)] = true
	}
	limit := int(ptr.Deref(s.ss.Spec.RevisionHistoryLimit, 10)) // the API's default
	if limit < 0 {
		return
	}
	inUse := func(r *appsv1.ControllerRevision) bool { return live[r.Name] }
	idle := 0
	for _, r := range s.history {
		if !inUse(r) {
			idle++
		}
	}
	s.plan.Do = append(s.plan.Do, history.Forget(s.history, idle-limit, inUse)...)
}

func revisionOf(p *corev1.Pod) string { return p.Labels[appsv1.StatefulSetRevisionLabel] }
