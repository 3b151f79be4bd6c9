package apiserver

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Token lives, in seconds: what is given unasked, the least and the most that can
// be asked for. Tokens that admission puts into pods say warnLife; programs that
// read their token once get extendedLife to learn better, as upstream.
const (
	defaultTokenLife = 3600
	minTokenLife     = 600
	maxTokenLife     = 1 << 32
	warnLife         = 3607
	extendedLife     = 365 * 24 * 3600
)

// requestToken signs a token for a service account, bound to a pod, node or
// secret if asked (TokenRequest, KEP-1205).
func (s *Server) requestToken(c *call, req *authenticationv1.TokenRequest) (runtime.Object, error) {
	req = req.DeepCopy()
	account, err := s.tokenAccount(c, req)
	if err != nil {
		return nil, err
	}
	if err := s.admitBody(c, tokenKind, req); err != nil {
		return nil, err
	}
	req.Name, req.Namespace, req.UID = account.Name, account.Namespace, account.UID
	req.CreationTimestamp = metav1.NewTime(c.now.Truncate(time.Second))
	req.Status = authenticationv1.TokenRequestStatus{}
	if len(req.Spec.Audiences) == 0 {
		req.Spec.Audiences = s.deps.Tokens.Audiences
	}
	if req.Spec.ExpirationSeconds == nil {
		life := int64(defaultTokenLife)
		req.Spec.ExpirationSeconds = &life
	}
	if errs := validateTokenRequest(req); len(errs) > 0 {
		return nil, apierrors.NewInvalid(tokenKind.GroupKind(), "", errs)
	}
	claims := authn.Claims{Namespace: account.Namespace, ServiceAccount: authn.Bound{Name: account.Name, UID: account.UID}}
	if err := bindToken(s.View(), req.Spec.BoundObjectRef, &claims); err != nil {
		return nil, err
	}
	return s.signToken(c.now, req, claims)
}

// tokenAccount returns the account that a token is asked for.
func (s *Server) tokenAccount(c *call, req *authenticationv1.TokenRequest) (*corev1.ServiceAccount, error) {
	name, namespace, path := c.target.name, c.target.namespace, field.NewPath("metadata")
	if req.Name != "" && req.Name != name {
		return nil, apierrors.NewInvalid(tokenKind.GroupKind(), name, field.ErrorList{
			field.Invalid(path.Child("name"), req.Name, "must match the service account name if specified")})
	}
	if req.Namespace != "" && req.Namespace != namespace {
		return nil, apierrors.NewInvalid(tokenKind.GroupKind(), name, field.ErrorList{
			field.Invalid(path.Child("namespace"), req.Namespace, "must match the service account namespace if specified")})
	}
	account, ok := view.Get(s.View(), resource.ServiceAccounts, namespace, name)
	if !ok {
		return nil, apierrors.NewNotFound(c.info.GR(), name)
	}
	if req.UID != "" && req.UID != account.UID {
		return nil, apierrors.NewConflict(schema.GroupResource{Group: tokenKind.Group, Resource: tokenKind.Kind}, name, fmt.Errorf(
			"the UID in the token request (%s) does not match the UID of the service account (%s)", req.UID, account.UID))
	}
	return account, nil
}

func validateTokenRequest(req *authenticationv1.TokenRequest) field.ErrorList {
	var errs field.ErrorList
	path, life := field.NewPath("spec", "expirationSeconds"), *req.Spec.ExpirationSeconds
	if life < minTokenLife {
		errs = append(errs, field.Invalid(path, life, "may not specify a duration less than 10 minutes"))
	}
	if life > maxTokenLife {
		errs = append(errs, field.Invalid(path, life, "may not specify a duration larger than 2^32 seconds"))
	}
	return errs
}

func (s *Server) signToken(now time.Time, req *authenticationv1.TokenRequest, claims authn.Claims) (runtime.Object, error) {
	life := time.Duration(*req.Spec.ExpirationSeconds) * time.Second
	expiry := now.Add(life)
	ours := func(audience string) bool { return slices.Contains(s.deps.Tokens.Audiences, audience) }
	if claims.Pod != nil && life == warnLife*time.Second && !slices.ContainsFunc(req.Spec.Audiences, func(a string) bool { return !ours(a) }) {
		claims.SetWarning(expiry)
		expiry = now.Add(extendedLife * time.Second)
	}
	token, err := s.deps.Tokens.Sign(uuid.NewString(), claims, req.Spec.Audiences, expiry)
	if err != nil {
		return nil, err
	}
	req.Status = authenticationv1.TokenRequestStatus{Token: token, ExpirationTimestamp: metav1.NewTime(now.Add(life))}
	return req, nil
}

// bindToken puts the object that the token shall live with into its claims.
func bindToken(v *view.View, ref *authenticationv1.BoundObjectReference, claims *authn.Claims) error {
	if ref == nil {
		return nil
	}
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	info := map[schema.GroupKind]*resource.Info{
		{Kind: "Pod"}: resource.Pods.Info, {Kind: "Secret"}: resource.Secrets.Info, {Kind: "Node"}: resource.Nodes.Info,
	}[gvk.GroupKind()]
	if info == nil {
		return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk))
	}
	key := view.Key{Name: ref.Name}
	if info.Namespaced {
		key.Namespace = claims.Namespace
	}
	e := v.Entry(info, key)
	if e == nil {
		return apierrors.NewNotFound(info.GR(), ref.Name)
	}
	uid := e.Object.GetUID()
	bound := &authn.Bound{Name: ref.Name, UID: uid}
	switch o := e.Object.(type) {
	case *corev1.Pod:
		if o.Spec.ServiceAccountName != claims.ServiceAccount.Name {
			return apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", claims.ServiceAccount.Name))
		}
		claims.Pod, claims.Node = bound, nodeOf(v, o)
	case *corev1.Secret:
		claims.Secret = bound
	case *corev1.Node:
		claims.Node = bound
	}
	if ref.UID != "" && ref.UID != uid {
		return apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, ref.Name, fmt.Errorf(
			"the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID))
	}
	return nil
}

// nodeOf is the node of a pod, as its tokens tell it: by name alone where the
// node has gone.
func nodeOf(v *view.View, pod *corev1.Pod) *authn.Bound {
	if pod.Spec.NodeName == "" {
		return nil
	}
	uid := types.UID("")
	if node, ok := view.Get(v, resource.Nodes, "", pod.Spec.NodeName); ok {
		uid = node.UID
	}
	return &authn.Bound{Name: pod.Spec.NodeName, UID: uid}
}
