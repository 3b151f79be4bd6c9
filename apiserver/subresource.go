package apiserver

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
)

var (
	scaleKind    = autoscalingv1.SchemeGroupVersion.WithKind("Scale")
	bindingKind  = corev1.SchemeGroupVersion.WithKind("Binding")
	tokenKind    = authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
	evictionKind = policyv1.SchemeGroupVersion.WithKind("Eviction")
)

// serveSubresource runs a verb on a part of an object.
func (s *Server) serveSubresource(w http.ResponseWriter, r *http.Request, c *call) error {
	sub := c.target.subresource
	core := c.info.GVR.Group == ""
	switch {
	case sub == "status" && c.info.HasStatus:
		return s.serveStatus(w, r, c)
	case sub == "scale" && c.info.Scale != nil:
		return s.serveScale(w, r, c)
	case core && c.info.GVR.Resource == "namespaces" && sub == "finalize" && c.verb == "update":
		return s.serveUpdate(w, r, c)
	case core && c.info.GVR.Resource == "pods" && sub == "binding" && c.verb == "create":
		return serveBody(s, w, r, c, bindingKind, &corev1.Binding{}, s.bind)
	case core && c.info.GVR.Resource == "pods" && sub == "eviction" && c.verb == "create":
		return serveBody(s, w, r, c, evictionKind, &policyv1.Eviction{}, s.evict)
	case core && c.info.GVR.Resource == "serviceaccounts" && sub == "token" && c.verb == "create":
		return serveBody(s, w, r, c, tokenKind, &authenticationv1.TokenRequest{}, s.requestToken)
	case core && c.info.GVR.Resource == "pods" || c.info.GVR.Resource == "nodes" || c.info.GVR.Resource == "services":
		return s.serveStream(w, r, c)
	}
	notFoundPath(w)
	return nil
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request, c *call) error {
	switch c.verb {
	case "get":
		return s.serveGet(w, r, c)
	case "update":
		return s.serveUpdate(w, r, c)
	case "patch":
		return s.servePatch(w, r, c)
	}
	return apierrors.NewMethodNotSupported(c.info.GR(), c.verb)
}

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

// Token lives, in seconds: the least and the most that can be asked for.
const (
	minTokenLife = 600
	maxTokenLife = 1 << 32
)

// requestToken signs a token for a service account, bound to a pod or secret if
// asked (TokenRequest, KEP-1205).
func (s *Server) requestToken(c *call, req *authenticationv1.TokenRequest) (runtime.Object, error) {
	e := s.View().Entry(c.info, c.key())
	if e == nil {
		return nil, apierrors.NewNotFound(c.info.GR(), c.target.name)
	}
	account := e.Object.(*corev1.ServiceAccount)
	if err := s.admitBody(c, tokenKind, req); err != nil {
		return nil, err
	}
	life := int64(3600)
	if req.Spec.ExpirationSeconds != nil {
		life = *req.Spec.ExpirationSeconds
	}
	path := field.NewPath("spec", "expirationSeconds")
	switch {
	case life < minTokenLife:
		return nil, apierrors.NewInvalid(tokenKind.GroupKind(), account.Name, field.ErrorList{field.Invalid(path, life, "may not specify a duration less than 10 minutes")})
	case life > maxTokenLife:
		return nil, apierrors.NewInvalid(tokenKind.GroupKind(), account.Name, field.ErrorList{field.TooLong(path, life, maxTokenLife)})
	}
	claims := authn.Claims{Namespace: account.Namespace, ServiceAccount: authn.Bound{Name: account.Name, UID: account.UID}}
	if err := s.bindToken(account.Namespace, req.Spec.BoundObjectRef, &claims); err != nil {
		return nil, err
	}
	expiry := c.now.Add(time.Duration(life) * time.Second)
	token, err := s.deps.Tokens.Sign(uuid.NewString(), claims, req.Spec.Audiences, expiry)
	if err != nil {
		return nil, err
	}
	result := req.DeepCopy()
	result.Name, result.Namespace = account.Name, account.Namespace
	result.CreationTimestamp = metav1.NewTime(c.now.Truncate(time.Second))
	result.Spec.ExpirationSeconds = &life
	if len(result.Spec.Audiences) == 0 {
		result.Spec.Audiences = s.deps.Tokens.Audiences
	}
	result.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(expiry)}
	return result, nil
}

// bindToken puts the object that the token shall live with into its claims.
func (s *Server) bindToken(namespace string, ref *authenticationv1.BoundObjectReference, claims *authn.Claims) error {
	if ref == nil {
		return nil
	}
	info := map[string]*resource.Info{"Pod": resource.Pods.Info, "Secret": resource.Secrets.Info}[ref.Kind]
	if info == nil {
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount to a %q: want Pod or Secret", ref.Kind))
	}
	e := s.View().Entry(info, keyIn(info, namespace+"/"+ref.Name))
	if e == nil {
		return apierrors.NewNotFound(info.GR(), ref.Name)
	}
	uid := e.Object.GetUID()
	if ref.UID != "" && ref.UID != uid {
		return apierrors.NewConflict(info.GR(), ref.Name, fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	bound := &authn.Bound{Name: ref.Name, UID: types.UID(uid)}
	if ref.Kind == "Pod" {
		claims.Pod = bound
	} else {
		claims.Secret = bound
	}
	return nil
}
