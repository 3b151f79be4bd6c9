package apiserver

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	case !sub.Does(c.verb) && !(sub.Paths && r.Method == http.MethodOptions):
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
	case "log":
		return s.serveLog
	case "token":
		return bodyFunc(s, tokenKind, func() *authenticationv1.TokenRequest { return &authenticationv1.TokenRequest{} }, s.requestToken)
	}
	if c.part.Paths {
		return s.serveProxy
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
	f, err := negotiatePlain(r)
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
