package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// maxDisruptedPods is how many evictions a budget may have under way that its
// controller has not seen, as upstream's.
const maxDisruptedPods = 2000

const violatesBudget = "Cannot evict pod as it would violate the pod's disruption budget."

// evict deletes a pod as a drain asks for it: only if its disruption budget
// allows (policy/v1 Eviction, KEP-85).
func (s *Server) evict(c *call, eviction *policyv1.Eviction) (runtime.Object, error) {
	opts, err := c.evictionOptions(eviction)
	if err != nil {
		return nil, err
	}
	if err := s.admitBody(c, evictionKind, eviction); err != nil {
		return nil, err
	}
	for range maxTries {
		pod, ok := view.Get(s.View(), resource.Pods, c.target.namespace, c.target.name)
		if !ok {
			return nil, apierrors.NewNotFound(c.version.GR(), c.target.name)
		}
		pin, refusal, err := s.spend(c, pod)
		if err != nil {
			return nil, err
		}
		if refusal != nil {
			return refusal, nil
		}
		mine := opts.DeepCopy()
		if pin.set && !pinned(opts) {
			pinTo(mine, pod.ResourceVersion)
		}
		err = s.deleteEvicted(c, mine)
		switch {
		case err == nil:
			return success(http.StatusCreated), nil
		case !apierrors.IsConflict(err) || pinned(opts):
			return nil, err
		case pin.budget != "":
			return nil, stillProcessed(pin.budget)
		case !pin.set:
			return nil, err
		}
	}
	return nil, apierrors.NewConflict(c.version.GR(), c.target.name, errors.New(optimisticLock))
}

// evictionOptions checks the request and returns how to delete.
func (c *call) evictionOptions(eviction *policyv1.Eviction) (*metav1.DeleteOptions, error) {
	if eviction.Name != c.target.name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	opts := eviction.DeleteOptions
	if opts == nil {
		return &metav1.DeleteOptions{}, nil
	}
	if ignore := opts.IgnoreStoreReadErrorWithClusterBreakingPotential; ignore != nil && *ignore {
		return nil, apierrors.NewInvalid(evictionKind.GroupKind(), eviction.Name, field.ErrorList{field.Invalid(
			field.NewPath("deleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential"), true, "can not be set for pod eviction, try after removing the option")})
	}
	if all := []string{metav1.DryRunAll}; c.dryRun && len(opts.DryRun) > 0 && !slices.Equal(opts.DryRun, all) {
		return nil, plainError(fmt.Sprintf("Non-matching dry-run options in request and content: %v and %v", all, opts.DryRun))
	}
	c.dryRun = c.dryRun || len(opts.DryRun) > 0
	return opts, nil
}

func pinned(opts *metav1.DeleteOptions) bool {
	return opts.Preconditions != nil && opts.Preconditions.ResourceVersion != nil
}

func pinTo(opts *metav1.DeleteOptions, version string) {
	if opts.Preconditions == nil {
		opts.Preconditions = &metav1.Preconditions{}
	}
	opts.Preconditions.ResourceVersion = &version
}

// pin says that a decision holds for this version of the pod only, and which
// budget made it.
type pin struct {
	set    bool
	budget string
}

// spend takes a disruption from the pod's budget, where one is needed.
func (s *Server) spend(c *call, pod *corev1.Pod) (pin, *metav1.Status, error) {
	if resource.PodTerminal(pod) || pod.DeletionTimestamp != nil {
		return pin{}, nil, nil
	}
	if pod.Status.Phase == corev1.PodPending {
		return pin{set: true}, nil, nil
	}
	budgets := budgetsOf(s.View(), pod)
	if len(budgets) == 0 {
		return pin{}, nil, nil
	}
	if len(budgets) > 1 {
		return pin{}, &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
			Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
		}, nil
	}
	b := budgets[0]
	if !resource.PodReady(pod) {
		policy, status := b.Spec.UnhealthyPodEvictionPolicy, &b.Status
		if policy != nil && *policy == policyv1.AlwaysAllow || status.CurrentHealthy >= status.DesiredHealthy && status.DesiredHealthy > 0 {
			return pin{set: true, budget: b.Name}, nil, nil
		}
	}
	of := *c
	of.info, of.part = resource.PodDisruptionBudgets.Info, resource.PodDisruptionBudgets.Info.Subresource("status")
	of.version = of.info.Served[0]
	_, err := s.mutate(&of, view.Key{Namespace: b.Namespace, Name: b.Name}, func(old resource.Object) (change, error) {
		b := old.(*policyv1.PodDisruptionBudget)
		if err := checkBudget(b); err != nil {
			return change{}, err
		}
		return change{obj: decrement(b, pod.Name, metav1.NewTime(c.now.Truncate(time.Second)))}, nil
	})
	return pin{}, nil, err
}

func budgetsOf(v *view.View, pod *corev1.Pod) []*policyv1.PodDisruptionBudget {
	return slices.DeleteFunc(slices.Collect(view.List(v, resource.PodDisruptionBudgets, pod.Namespace)), func(b *policyv1.PodDisruptionBudget) bool {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		return err != nil || !selector.Matches(labels.Set(pod.Labels))
	})
}

// checkBudget returns why the budget allows no disruption now.
func checkBudget(b *policyv1.PodDisruptionBudget) error {
	s := &b.Status
	budget := schema.GroupResource{Group: "policy", Resource: "poddisruptionbudget"}
	switch {
	case s.ObservedGeneration < b.Generation:
		return stillProcessed(b.Name)
	case s.DisruptionsAllowed < 0:
		return withCause(apierrors.NewForbidden(budget, b.Name, errors.New("pdb disruptions allowed is negative")),
			"The disruption budget %s does not allow evicting pods currently: pdb disruptions allowed is negative", b.Name)
	case len(s.DisruptedPods) > maxDisruptedPods:
		return withCause(apierrors.NewForbidden(budget, b.Name, errors.New("DisruptedPods map too big - too many evictions not confirmed by PDB controller")),
			"The disruption budget %s does not allow evicting pods currently: too many pending evictions not confirmed by PDB controller", b.Name)
	case s.DisruptionsAllowed > 0:
		return nil
	}
	refusal := apierrors.NewTooManyRequests(violatesBudget, 0)
	condition := meta.FindStatusCondition(s.Conditions, policyv1.DisruptionAllowedCondition)
	told := condition != nil && condition.Status == metav1.ConditionFalse && condition.Message != ""
	switch {
	case told && condition.Reason == policyv1.SyncFailedReason:
		return withCause(refusal, "The disruption budget %s does not allow evicting pods currently because it failed sync: %s", b.Name, condition.Message)
	case s.CurrentHealthy <= s.DesiredHealthy:
		return withCause(refusal, "The disruption budget %s needs %d healthy pods and has %d currently", b.Name, s.DesiredHealthy, s.CurrentHealthy)
	case told:
		return withCause(refusal, "The disruption budget %s does not allow evicting pods currently (%s): %s", b.Name, condition.Reason, condition.Message)
	}
	return withCause(refusal, "The disruption budget %s does not allow evicting pods currently", b.Name)
}

func stillProcessed(budget string) error {
	return withCause(apierrors.NewTooManyRequests(violatesBudget, 10), "The disruption budget %s is still being processed by the server.", budget)
}

func withCause(err *apierrors.StatusError, format string, args ...any) error {
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: policyv1.DisruptionBudgetCause, Message: fmt.Sprintf(format, args...),
	})
	return err
}

// decrement returns the budget after one more disruption.
func decrement(b *policyv1.PodDisruptionBudget, pod string, now metav1.Time) *policyv1.PodDisruptionBudget {
	next := b.DeepCopy()
	s := &next.Status
	s.DisruptionsAllowed--
	if s.DisruptionsAllowed == 0 {
		resource.SetDisruptionAllowed(s, now)
	}
	if s.DisruptedPods == nil {
		s.DisruptedPods = map[string]metav1.Time{}
	}
	s.DisruptedPods[pod] = now
	return next
}

// deleteEvicted says in the pod's status why it ends, and deletes it.
func (s *Server) deleteEvicted(c *call, opts *metav1.DeleteOptions) error {
	if !c.dryRun {
		obj, err := s.mutate(c, c.key(), func(old resource.Object) (change, error) {
			if err := c.checkPreconditions(opts.Preconditions, old); err != nil {
				return change{}, err
			}
			pod := old.(*corev1.Pod).DeepCopy()
			setPodCondition(pod, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI",
				Message: "Eviction API: evicting", LastTransitionTime: metav1.NewTime(c.now.Truncate(time.Second)),
			})
			return change{obj: pod}, nil
		})
		if err != nil {
			return err
		}
		if pinned(opts) {
			pinTo(opts, obj.GetResourceVersion())
		}
	}
	_, _, err := s.delete(c, c.key(), opts)
	return err
}
