package apiserver

import (
	"context"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/store"
	"github.com/skiff-sh/skiff/watchcache"
)

// Local returns a client in this process. Its changes take the same way as
// those that come by HTTP, but for the encoding.
func (s *Server) Local(user authn.User) client.Client { return &local{server: s, user: user} }

// LocalWhile is Local for a user who may write only while a key of the store
// lives: a leader's lease.
func (s *Server) LocalWhile(user authn.User, while store.Guard) client.Client {
	return &local{server: s, user: user, while: while}
}

type local struct {
	server *Server
	user   authn.User
	while  store.Guard
}

// Cache implements client.Client with the server's own cache.
func (l *local) Cache() *watchcache.Cache { return l.server.cache }

// Do implements client.Client.
func (l *local) Do(ctx context.Context, op client.Op) (resource.Object, error) {
	s := l.server
	c := &call{
		ctx: ctx, user: l.user, verb: string(op.Verb), info: op.Kind, version: op.Kind.Served[0], now: s.deps.Now(), while: l.while,
		origin:          origin{component: true, reason: op.Cause, after: op.After},
		fieldValidation: metav1.FieldValidationIgnore, fieldManager: componentManager(l.user.Name),
		target: target{gvr: op.Kind.GVR, namespace: op.Namespace, name: op.Name, subresource: op.Subresource},
	}
	if err := s.permit(attributes(c.user, c.verb, c.target)); err != nil {
		return nil, err
	}
	if op.Subresource != "" {
		if c.part = op.Kind.Subresource(op.Subresource); c.part == nil || !c.part.Does(c.verb) {
			return nil, apierrors.NewMethodNotSupported(op.Kind.GR(), c.verb)
		}
	}
	return s.perform(c, op)
}

// Review implements client.Reviewer.
func (l *local) Review(ctx context.Context, kind schema.GroupVersionKind, question resource.Object) (resource.Object, error) {
	s := l.server
	gvr := kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")
	review := reviewOf(gvr)
	if review == nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s is not a review", kind))
	}
	c := &call{ctx: ctx, user: l.user, verb: "create", now: s.deps.Now(), target: target{gvr: gvr, namespace: question.GetNamespace()}}
	if err := s.permit(attributes(c.user, c.verb, c.target)); err != nil {
		return nil, err
	}
	answer := question.DeepCopyObject().(resource.Object)
	return answer, review.answer(s, c, answer)
}

func (s *Server) perform(c *call, op client.Op) (resource.Object, error) {
	var obj resource.Object
	if op.Object != nil {
		obj = op.Object.DeepCopyObject().(resource.Object)
	}
	switch {
	case op.Subresource != "" && !c.part.Own():
		return s.performAttached(c, op, obj)
	case op.Verb == resource.Create:
		return s.create(c, obj)
	case op.Verb == resource.Update:
		return s.update(c, obj)
	case op.Verb == resource.Patch:
		return s.patch(c, op.PatchType, op.Patch)
	case op.Verb == resource.Delete:
		obj, _, err := s.delete(c, c.key(), op.Delete)
		return obj, err
	}
	return nil, apierrors.NewMethodNotSupported(op.Kind.GR(), string(op.Verb))
}

func (s *Server) performAttached(c *call, op client.Op, obj resource.Object) (resource.Object, error) {
	if op.Verb == resource.Patch && op.Subresource == "scale" {
		return s.scale(c, op.Patch, string(op.PatchType))
	}
	switch body := obj.(type) {
	case *corev1.Binding:
		_, err := s.bind(c, body)
		return body, err
	case *policyv1.Eviction:
		_, err := s.evict(c, body)
		return body, err
	case *authenticationv1.TokenRequest:
		result, err := s.requestToken(c, body)
		if err != nil {
			return nil, err
		}
		return result.(*authenticationv1.TokenRequest), nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("%s/%s does not take a %T", c.info.GVR.Resource, c.target.subresource, obj))
}
