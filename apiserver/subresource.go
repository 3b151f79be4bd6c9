package apiserver

import (
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource"
)

var (
	bindingKind  = corev1.SchemeGroupVersion.WithKind("Binding")
	tokenKind    = authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
	evictionKind = policyv1.SchemeGroupVersion.WithKind("Eviction")
)

// serveSubresource runs a verb on a part of an object.
func (s *Server) serveSubresource(w http.ResponseWriter, r *http.Request, c *call) error {
	sub := c.part
	switch {
	case sub == nil, c.target.rest != "" && !sub.Paths, c.target.name == "":
		return errNoSuchPath
	case !sub.Does(c.verb):
		return errMethod
	case !sub.Own():
		return s.attached(c)(w, r, c)
	case c.verb == "get":
		return s.serveGet(w, r, c)
	case c.verb == "update":
		return s.serveUpdate(w, r, c)
	}
	return s.servePatch(w, r, c)
}

// verbFunc answers one request.
type verbFunc func(http.ResponseWriter, *http.Request, *call) error

// attached finds what serves a subresource that speaks a kind of its own.
func (s *Server) attached(c *call) verbFunc {
	switch c.part.Name {
	case "scale":
		return s.serveScale
	case "binding":
		return bodyFunc(s, bindingKind, func() *corev1.Binding { return &corev1.Binding{} }, s.bind)
	case "eviction":
		return bodyFunc(s, evictionKind, func() *policyv1.Eviction { return &policyv1.Eviction{} }, s.evict)
	case "token":
		return bodyFunc(s, tokenKind, func() *authenticationv1.TokenRequest { return &authenticationv1.TokenRequest{} }, s.requestToken)
	}
	return s.serveStream
}

func bodyFunc[T runtime.Object](s *Server, gvk schema.GroupVersionKind, body func() T, do func(*call, T) (runtime.Object, error)) verbFunc {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		return serveBody(s, w, r, c, gvk, body(), do)
	}
}

// Refusals of a path or a method within a served group, as upstream's router
// words them.
var (
	errNoSuchPath = apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "", 0, false)
	errMethod     = apierrors.NewGenericServerResponse(http.StatusMethodNotAllowed, "", schema.GroupResource{}, "", "", 0, false)
)

// serveBody runs a subresource that takes an object of another kind and answers
// with one.
func serveBody[T runtime.Object](s *Server, w http.ResponseWriter, r *http.Request, c *call, gvk schema.GroupVersionKind, body T, do func(*call, T) (runtime.Object, error)) error {
	f, err := negotiate(r)
	if err != nil {
		return err
	}
	data, media, err := readBody(r)
	if err != nil {
		return err
	}
	if err := c.decodeBody(data, media, gvk, body); err != nil {
		return err
	}
	result, err := do(c, body)
	if err != nil {
		return err
	}
	c.writeWarnings(w)
	if _, ok := result.(*metav1.Status); ok {
		gvk = schema.GroupVersionKind{Version: "v1", Kind: "Status"}
	}
	return write(w, f, http.StatusCreated, gvk, result)
}

func success(code int32) *metav1.Status {
	return &metav1.Status{Status: metav1.StatusSuccess, Code: code}
}

// bind assigns a pod to a node (the scheduler's only write to a pod).
func (s *Server) bind(c *call, binding *corev1.Binding) (runtime.Object, error) {
	path := field.NewPath("target")
	var errs field.ErrorList
	if binding.Target.Kind != "" && binding.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(path.Child("kind"), binding.Target.Kind, []string{"Node", "<empty>"}))
	}
	if binding.Target.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(bindingKind.GroupKind(), binding.Name, errs)
	}
	if err := s.admitBody(c, bindingKind, binding); err != nil {
		return nil, err
	}
	_, err := s.mutate(c, c.key(), func(old resource.Object) (change, error) {
		pod := old.(*corev1.Pod).DeepCopy()
		if binding.UID != "" && binding.UID != pod.UID {
			return change{}, apierrors.NewConflict(c.info.GR(), pod.Name, fmt.Errorf(
				"Precondition failed: UID in precondition: %v, UID in object meta: %v", binding.UID, pod.UID))
		}
		if err := bindable(pod); err != nil {
			return change{}, apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, pod.Name, err)
		}
		pod.Spec.NodeName = binding.Target.Name
		for key, value := range binding.Annotations {
			metav1.SetMetaDataAnnotation(&pod.ObjectMeta, key, value)
		}
		setScheduled(pod, metav1.NewTime(c.now.Truncate(time.Second)))
		return change{obj: pod}, nil
	})
	return success(http.StatusCreated), err
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
	want := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now, ObservedGeneration: pod.Generation,
	}
	for i, have := range pod.Status.Conditions {
		if have.Type == corev1.PodScheduled {
			pod.Status.Conditions[i] = want
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, want)
}

// evict deletes a pod as a drain asks for it.
func (s *Server) evict(c *call, eviction *policyv1.Eviction) (runtime.Object, error) {
	if err := s.admitBody(c, evictionKind, eviction); err != nil {
		return nil, err
	}
	_, _, err := s.delete(c, c.key(), eviction.DeleteOptions)
	return success(http.StatusCreated), err
}
