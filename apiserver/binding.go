package apiserver

import (
	"fmt"
	"maps"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource"
)

// bind assigns a pod to a node (the scheduler's only write to a pod).
func (s *Server) bind(c *call, binding *corev1.Binding) (runtime.Object, error) {
	if binding.Name != c.target.name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if errs := validateBinding(binding); len(errs) > 0 {
		return nil, plainError(errs.ToAggregate().Error())
	}
	if err := s.admitBody(c, bindingKind, binding); err != nil {
		return nil, err
	}
	_, err := s.mutate(c, c.key(), func(old resource.Object) (change, error) {
		if binding.UID != "" && binding.UID != old.GetUID() {
			return change{}, c.preconditionFailed("UID", string(binding.UID), string(old.GetUID()))
		}
		if v := binding.ResourceVersion; v != "" && v != old.GetResourceVersion() {
			return change{}, c.preconditionFailed("ResourceVersion", v, old.GetResourceVersion())
		}
		pod := old.(*corev1.Pod).DeepCopy()
		if err := bindable(pod); err != nil {
			return change{}, apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, pod.Name, err)
		}
		pod.Spec.NodeName = binding.Target.Name
		pod.Status.NominatedNodeName = ""
		pod.Annotations = merged(pod.Annotations, binding.Annotations)
		pod.Labels = merged(pod.Labels, binding.Labels)
		setScheduled(pod, metav1.NewTime(c.now.Truncate(time.Second)))
		return change{obj: pod}, nil
	})
	return success(http.StatusCreated), err
}

func validateBinding(binding *corev1.Binding) field.ErrorList {
	path := field.NewPath("target")
	kind, name := binding.Target.Kind, binding.Target.Name
	var errs field.ErrorList
	if kind != "" && kind != "Node" {
		errs = append(errs, field.NotSupported(path.Child("kind"), kind, []string{"Node", "<empty>"}))
	}
	if name == "" {
		return append(errs, field.Required(path.Child("name"), ""))
	}
	if len(errs) == 0 {
		for _, problem := range validation.NameIsDNSSubdomain(name, false) {
			errs = append(errs, field.Invalid(path.Child("name"), name, problem))
		}
	}
	return errs
}

// merged returns to with from's entries over its own. It may change to.
func merged(to, from map[string]string) map[string]string {
	if to == nil {
		return maps.Clone(from)
	}
	maps.Copy(to, from)
	return to
}

func bindable(pod *corev1.Pod) error {
	switch {
	case pod.DeletionTimestamp != nil:
		return fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", pod.Name)
	case pod.Spec.NodeName != "":
		return fmt.Errorf("pod %v is already assigned to node %q", pod.Name, pod.Spec.NodeName)
	case len(pod.Spec.SchedulingGates) != 0:
		return fmt.Errorf("pod %v has non-empty .spec.schedulingGates", pod.Name)
	}
	return nil
}

func setScheduled(pod *corev1.Pod, now metav1.Time) {
	setPodCondition(pod, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now,
	})
}

// setPodCondition replaces the condition of the same type. The time of the last
// transition stays where the status does.
func setPodCondition(pod *corev1.Pod, want corev1.PodCondition) {
	have := resource.PodCondition(pod, want.Type)
	if have == nil {
		pod.Status.Conditions = append(pod.Status.Conditions, want)
		return
	}
	if have.Status == want.Status {
		want.LastTransitionTime = have.LastTransitionTime
	}
	*have = want
}
