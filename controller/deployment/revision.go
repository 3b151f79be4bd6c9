package deployment

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/pod"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// The annotations that kubectl and upstream's controller share.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	historyAnnotation  = "deployment.kubernetes.io/revision-history"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"

	historyLength = 2000 // characters of the revision history that are kept
)

// ownAnnotations of a Deployment are not its ReplicaSets'.
var ownAnnotations = map[string]bool{
	corev1.LastAppliedConfigAnnotation: true,
	revisionAnnotation:                 true,
	historyAnnotation:                  true,
	desiredAnnotation:                  true,
	maxAnnotation:                      true,
	appsv1.DeprecatedRollbackTo:        true,
}

// sameTemplate compares templates but for the label with their hash.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return apiequality.Semantic.DeepEqual(a.Spec, b.Spec) &&
		apiequality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t *corev1.PodTemplateSpec) metav1.ObjectMeta {
	meta := t.ObjectMeta
	if _, has := meta.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; has {
		meta.Labels = maps.Clone(meta.Labels)
		delete(meta.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	}
	return meta
}

func byAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

// sort tells the ReplicaSet of the current template, the oldest one should
// there be several, from the others.
func (r *rollout) sort(all []*appsv1.ReplicaSet) {
	slices.SortFunc(all, byAge)
	for _, rs := range all {
		if r.new == nil && sameTemplate(&rs.Spec.Template, &r.d.Spec.Template) {
			r.new = rs
			continue
		}
		r.old = append(r.old, rs)
	}
}

// edit returns a ReplicaSet that may be changed and will be written.
func (r *rollout) edit(rs *appsv1.ReplicaSet) *appsv1.ReplicaSet {
	if r.edited[rs] || r.created && rs == r.new {
		return rs
	}
	next := rs.DeepCopy()
	r.edited[next] = true
	if rs == r.new {
		r.new = next
	}
	if i := slices.Index(r.old, rs); i >= 0 {
		r.old[i] = next
	}
	return next
}

// keep brings annotations and minReadySeconds of the current ReplicaSet, if
// there is one, up to date.
func (r *rollout) keep() {
	rs := r.new
	if rs == nil {
		return
	}
	annotations := r.annotate(rs, r.nextRevision())
	if !maps.Equal(annotations, rs.Annotations) || rs.Spec.MinReadySeconds != r.d.Spec.MinReadySeconds {
		rs = r.edit(rs)
		rs.Annotations, rs.Spec.MinReadySeconds = annotations, r.d.Spec.MinReadySeconds
	}
	r.revision = annotations[revisionAnnotation]
	if r.deadline() > 0 && condition(r.status, appsv1.DeploymentProgressing) == nil {
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "FoundNewReplicaSet", fmt.Sprintf("Found new replica set %q", rs.Name))
	}
}

// ensure makes sure that there is a ReplicaSet of the current template. It is
// false where it cannot be made now.
func (r *rollout) ensure() bool {
	if r.new != nil {
		r.keep()
		return true
	}
	template := r.d.Spec.Template.DeepCopy()
	sum := pod.HashTemplate(template, r.d.Status.CollisionCount)
	name := nameOf(r.d.Name, sum)
	if _, taken := view.Get(r.v, resource.ReplicaSets, r.d.Namespace, name); taken {
		// The owner of that name is not ours or has another template: two
		// templates share a hash. The count makes the next one differ.
		count := int32(1)
		if r.status.CollisionCount != nil {
			count += *r.status.CollisionCount
		}
		r.status.CollisionCount = &count
		return false
	}
	r.create(name, sum, template)
	return true
}

// nameOf joins a Deployment's name with a hash, within the length of a name.
func nameOf(deployment, sum string) string {
	const longest = 253
	if most := longest - len(sum) - 1; len(deployment) > most {
		deployment = deployment[:most]
	}
	return deployment + "-" + sum
}

func (r *rollout) create(name, sum string, template *corev1.PodTemplateSpec) {
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = sum
	selector := r.d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] = sum
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: r.d.Namespace, Labels: maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(r.d, resource.Deployments.Info.GVK)},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: new(int32), MinReadySeconds: r.d.Spec.MinReadySeconds, Selector: selector, Template: *template},
	}
	r.new, r.created = rs, true
	*rs.Spec.Replicas = r.roomForNew()
	rs.Annotations = r.annotate(rs, r.nextRevision())
	noteSizes(rs, r.size(), r.size()+r.surge())
	r.revision = rs.Annotations[revisionAnnotation]
	r.plan.Do = append(r.plan.Do, client.Create(resource.ReplicaSets, rs))
	r.plan.Failed = r.createFailed
	if *rs.Spec.Replicas > 0 {
		r.note(false, "ScalingReplicaSet", fmt.Sprintf("Scaled up replica set %s from 0 to %d", name, *rs.Spec.Replicas), len(r.plan.Do))
	}
	if r.deadline() > 0 {
		r.setCondition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetCreated", fmt.Sprintf("Created new replica set %q", name))
	}
}

// createFailed says in the status that the ReplicaSet cannot be made.
func (r *rollout) createFailed(op client.Op, err error) controller.Plan {
	if op.Verb != resource.Create || op.Kind != resource.ReplicaSets.Info {
		return controller.Plan{Err: fmt.Errorf("%s: %w", op, err)}
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return controller.Plan{}
	}
	message := fmt.Sprintf("Failed to create new replica set %q: %v", op.Name, err)
	next := newRollout(r.v, r.d, r.now)
	if r.deadline() > 0 {
		next.setCondition(appsv1.DeploymentProgressing, corev1.ConditionFalse, "ReplicaSetCreateError", message)
	}
	next.warn("ReplicaSetCreateError", message)
	plan := next.finish()
	plan.Err = fmt.Errorf("%s: %w", op, err)
	return plan
}

func revisionOf(rs *appsv1.ReplicaSet) int64 {
	n, err := strconv.ParseInt(rs.Annotations[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// nextRevision is one above all old ones.
func (r *rollout) nextRevision() int64 {
	var last int64
	for _, rs := range r.old {
		last = max(last, revisionOf(rs))
	}
	return last + 1
}

// annotate returns the annotations of the current ReplicaSet: the Deployment's,
// the revision, and those it had before should the template have come back.
func (r *rollout) annotate(rs *appsv1.ReplicaSet, revision int64) map[string]string {
	next := maps.Clone(rs.Annotations)
	if next == nil {
		next = map[string]string{}
	}
	for k, v := range r.d.Annotations {
		if !ownAnnotations[k] {
			next[k] = v
		}
	}
	before, had := next[revisionAnnotation]
	if revisionOf(rs) >= revision {
		return next
	}
	next[revisionAnnotation] = strconv.FormatInt(revision, 10)
	if had {
		next[historyAnnotation] = appendHistory(next[historyAnnotation], before)
	}
	return next
}

// appendHistory adds a revision, and drops the oldest ones beyond the length.
func appendHistory(history, revision string) string {
	if history == "" {
		return revision
	}
	history += "," + revision
	for len(history) > historyLength {
		_, rest, found := strings.Cut(history, ",")
		if !found {
			break
		}
		history = rest
	}
	return history
}

// noteSizes notes the sizes of the Deployment that a ReplicaSet was scaled for,
// by which a later change is noticed and shared out.
func noteSizes(rs *appsv1.ReplicaSet, desired, most int32) {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	rs.Annotations[desiredAnnotation] = strconv.Itoa(int(desired))
	rs.Annotations[maxAnnotation] = strconv.Itoa(int(most))
}

func sizesNoted(rs *appsv1.ReplicaSet, desired, most int32) bool {
	return rs.Annotations[desiredAnnotation] == strconv.Itoa(int(desired)) &&
		rs.Annotations[maxAnnotation] == strconv.Itoa(int(most))
}

func annotated(rs *appsv1.ReplicaSet, key string) (int32, bool) {
	n, err := strconv.ParseInt(rs.Annotations[key], 10, 32)
	return int32(n), err == nil
}

// cleanup deletes the oldest revisions beyond the history limit.
func (r *rollout) cleanup() {
	limit := r.d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return
	}
	var alive []*appsv1.ReplicaSet
	for _, rs := range r.old {
		if rs.DeletionTimestamp == nil {
			alive = append(alive, rs)
		}
	}
	slices.SortStableFunc(alive, func(a, b *appsv1.ReplicaSet) int { return cmp.Compare(revisionOf(a), revisionOf(b)) })
	for _, rs := range alive[:max(0, len(alive)-int(*limit))] {
		if rs.Status.Replicas != 0 || want(rs) != 0 || rs.Generation > rs.Status.ObservedGeneration || r.edited[rs] {
			continue
		}
		r.plan.Do = append(r.plan.Do, client.Delete(resource.ReplicaSets, rs))
	}
}
