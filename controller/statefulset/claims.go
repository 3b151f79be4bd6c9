package statefulset

import (
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

const deleteClaims = appsv1.DeletePersistentVolumeClaimRetentionPolicyType

// keysOfClaim names the sets whose claim this would be by its name.
func keysOfClaim(v *view.View, obj resource.Object) (keys []view.Key) {
	pod, _ := split(obj.GetName())
	for ss := range view.List(v, resource.StatefulSets, obj.GetNamespace()) {
		for i := range ss.Spec.VolumeClaimTemplates {
			if ss.Spec.VolumeClaimTemplates[i].Name+"-"+ss.Name == pod {
				keys = append(keys, view.KeyOf(ss))
				break
			}
		}
	}
	return keys
}

// claims yields the templates, and a pod's claim of each: nil if it is not there.
func (s *set) claims(p *corev1.Pod) func(func(t, claim *corev1.PersistentVolumeClaim) bool) {
	return func(yield func(t, claim *corev1.PersistentVolumeClaim) bool) {
		for i := range s.ss.Spec.VolumeClaimTemplates {
			t := &s.ss.Spec.VolumeClaimTemplates[i]
			claim, _ := view.Get(s.v, resource.PersistentVolumeClaims, s.ss.Namespace, s.claimName(t, p))
			if !yield(t, claim) {
				return
			}
		}
	}
}

// makeClaims makes the claims of a pod that are not there. It is an error where
// one is on its way out.
func (s *set) makeClaims(p *corev1.Pod) error {
	var problems []error
	for t, claim := range s.claims(p) {
		switch {
		case claim == nil:
			c := s.newClaim(t, p)
			s.podOf[c.Name] = p.Name
			s.plan.Do = append(s.plan.Do, client.Create(resource.PersistentVolumeClaims, c))
			s.note(false, "SuccessfulCreate", fmt.Sprintf("Create Claim %s Pod %s in StatefulSet %s success", c.Name, p.Name, s.ss.Name), len(s.plan.Do))
		case claim.DeletionTimestamp != nil:
			problems = append(problems, fmt.Errorf("pvc %s is being deleted", claim.Name))
		}
	}
	return errors.Join(problems...)
}

// stale says that a claim of a pod to be made is still its predecessor's, with
// whom it will go.
func (s *set) stale(p *corev1.Pod) bool {
	if s.retention().WhenScaled != deleteClaims {
		return false
	}
	for _, claim := range s.claims(p) {
		if claim != nil && foreign(claim, p, resource.Pods.Info) {
			return true
		}
	}
	return false
}

// retain makes a pod's claims go with what they shall go with.
func (s *set) retain(p *corev1.Pod) {
	for _, claim := range s.claims(p) {
		if claim == nil {
			continue // seen to once it is there
		}
		if s.conflict(claim, p) {
			s.note(true, "ConflictingController", fmt.Sprintf("PersistentVolumeClaim %s has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim", claim.Name), 0)
		}
		if refs, changed := s.owners(claim, p); changed {
			next := claim.DeepCopy()
			next.OwnerReferences = refs
			s.podOf[next.Name] = p.Name
			s.plan.Do = append(s.plan.Do, client.Update(resource.PersistentVolumeClaims, next))
		}
	}
}

// retained says that a pod's claims go with what they shall go with.
func (s *set) retained(p *corev1.Pod) bool {
	for _, claim := range s.claims(p) {
		if claim != nil {
			if _, changed := s.owners(claim, p); changed {
				return false
			}
		}
	}
	return true
}

func (s *set) retention() appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy {
	if p := s.ss.Spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		return *p
	}
	return appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{} // nothing goes
}

// owners returns the owners that a claim shall have: the set, if it shall go with
// the set, or a pod that is scaled away, if it shall go with that. A claim that
// belongs to a namesake of either, or to somebody else, is left alone.
func (s *set) owners(claim *corev1.PersistentVolumeClaim, p *corev1.Pod) (refs []metav1.OwnerReference, changed bool) {
	if foreign(claim, s.ss, resource.StatefulSets.Info) || foreign(claim, p, resource.Pods.Info) {
		return nil, false
	}
	others := slices.DeleteFunc(slices.Clone(claim.OwnerReferences), func(r metav1.OwnerReference) bool {
		return names(r, s.ss, resource.StatefulSets.Info) || names(r, p, resource.Pods.Info)
	})
	bySet, byPod := owns(s.ss, claim), owns(p, claim)
	if s.conflict(claim, p) {
		return others, bySet != none || byPod != none
	}
	policy := s.retention()
	withPod := policy.WhenScaled == deleteClaims && !s.inRange(p)
	withSet := policy.WhenDeleted == deleteClaims && !withPod
	if bySet == wanted(withSet) && byPod == wanted(withPod) {
		return nil, false
	}
	if withSet {
		others = append(others, *metav1.NewControllerRef(s.ss, resource.StatefulSets.Info.GVK))
	}
	if withPod {
		others = append(others, *metav1.NewControllerRef(p, resource.Pods.Info.GVK))
	}
	return others, true
}

// conflict says that somebody else controls a claim that shall go with the set
// or the pod.
func (s *set) conflict(claim *corev1.PersistentVolumeClaim, p *corev1.Pod) bool {
	if policy := s.retention(); policy.WhenScaled != deleteClaims && policy.WhenDeleted != deleteClaims {
		return false
	}
	return slices.ContainsFunc(claim.OwnerReferences, func(r metav1.OwnerReference) bool {
		switch {
		case names(r, s.ss, resource.StatefulSets.Info):
			return r.UID != s.ss.UID
		case names(r, p, resource.Pods.Info):
			return r.UID != p.UID
		}
		return r.Controller != nil && *r.Controller
	})
}

// ownership is how an object owns another.
type ownership int

const (
	none ownership = iota
	owner
	controlling
)

func wanted(controls bool) ownership {
	if controls {
		return controlling
	}
	return none
}

func owns(obj metav1.Object, claim *corev1.PersistentVolumeClaim) ownership {
	for _, r := range claim.OwnerReferences {
		if r.UID == obj.GetUID() {
			if r.Controller != nil && *r.Controller {
				return controlling
			}
			return owner
		}
	}
	return none
}

// names says that a reference is to an object of that kind and name, which may
// be another incarnation.
func names(r metav1.OwnerReference, obj metav1.Object, kind *resource.Info) bool {
	return r.APIVersion == kind.GVK.GroupVersion().String() && r.Kind == kind.GVK.Kind && r.Name == obj.GetName()
}

// foreign says that a claim is owned by another incarnation of obj.
func foreign(claim *corev1.PersistentVolumeClaim, obj metav1.Object, kind *resource.Info) bool {
	for _, r := range claim.OwnerReferences {
		if names(r, obj, kind) {
			return r.UID != obj.GetUID()
		}
	}
	return false
}
