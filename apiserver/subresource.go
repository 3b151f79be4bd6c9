package apiserver

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
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
