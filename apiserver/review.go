package apiserver

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
)

// review is a kind that is only ever created: a question with its answer.
type review struct {
	gvk        schema.GroupVersionKind
	resource   string
	namespaced bool
	new        func() runtime.Object
	answer     func(*Server, *call, runtime.Object) error
}

// reviews lists the questions that the server answers.
var reviews = []review{
	{authenticationv1.SchemeGroupVersion.WithKind("SelfSubjectReview"), "selfsubjectreviews", false,
		func() runtime.Object { return &authenticationv1.SelfSubjectReview{} }, (*Server).reviewSelf},
	{authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), "tokenreviews", false,
		func() runtime.Object { return &authenticationv1.TokenReview{} }, (*Server).reviewToken},
	{authorizationv1.SchemeGroupVersion.WithKind("LocalSubjectAccessReview"), "localsubjectaccessreviews", true,
		func() runtime.Object { return &authorizationv1.LocalSubjectAccessReview{} }, (*Server).reviewLocalAccess},
	{authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), "selfsubjectaccessreviews", false,
		func() runtime.Object { return &authorizationv1.SelfSubjectAccessReview{} }, (*Server).reviewSelfAccess},
	{authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectRulesReview"), "selfsubjectrulesreviews", false,
		func() runtime.Object { return &authorizationv1.SelfSubjectRulesReview{} }, (*Server).reviewSelfRules},
	{authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), "subjectaccessreviews", false,
		func() runtime.Object { return &authorizationv1.SubjectAccessReview{} }, (*Server).reviewAccess},
}

// serveReview answers a review, and returns whether the request was for one.
func (s *Server) serveReview(w http.ResponseWriter, r *http.Request, c *call) bool {
	for _, review := range reviews {
		if c.target.gvr != review.gvk.GroupVersion().WithResource(review.resource) {
			continue
		}
		c.now = s.deps.Now()
		err := c.readOptions(r)
		switch {
		case c.verb != "create":
			err = apierrors.NewMethodNotSupported(c.target.gvr.GroupResource(), c.verb)
		case err == nil:
			err = serveBody(s, w, r, c, review.gvk, review.new(), func(c *call, obj runtime.Object) (runtime.Object, error) {
				return obj, review.answer(s, c, obj)
			})
		}
		if err != nil {
			writeError(w, r, err)
		}
		return true
	}
	return false
}

func (s *Server) reviewSelf(c *call, obj runtime.Object) error {
	review := obj.(*authenticationv1.SelfSubjectReview)
	review.CreationTimestamp = metav1.NewTime(c.now)
	review.Status.UserInfo = userInfo(c.user)
	return nil
}

func userInfo(u authn.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for key, values := range u.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[key] = values
	}
	return info
}

func (s *Server) reviewToken(c *call, obj runtime.Object) error {
	review := obj.(*authenticationv1.TokenReview)
	if review.Spec.Token == "" {
		return apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	audiences := review.Spec.Audiences
	if len(audiences) == 0 {
		audiences = s.deps.Tokens.Audiences
	}
	user, err := s.deps.Tokens.AuthenticateFor(review.Spec.Token, audiences)
	review.Status = authenticationv1.TokenReviewStatus{}
	if err != nil {
		review.Status.Error = err.Error()
		return nil
	}
	review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: userInfo(user), Audiences: audiences}
	return nil
}

func (s *Server) reviewSelfAccess(c *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.SelfSubjectAccessReview)
	review.Status = s.access(c.user, review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	return nil
}

func (s *Server) reviewAccess(_ *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.SubjectAccessReview)
	review.Status = s.access(subject(review.Spec), review.Spec.ResourceAttributes, review.Spec.NonResourceAttributes)
	return nil
}

func (s *Server) reviewLocalAccess(c *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.LocalSubjectAccessReview)
	if a := review.Spec.ResourceAttributes; a == nil || a.Namespace != c.target.namespace {
		return apierrors.NewBadRequest("spec.resourceAttributes.namespace must match the namespace of the request")
	}
	review.Status = s.access(subject(review.Spec), review.Spec.ResourceAttributes, nil)
	return nil
}

func subject(spec authorizationv1.SubjectAccessReviewSpec) authn.User {
	return authn.User{Name: spec.User, UID: spec.UID, Groups: spec.Groups}
}

func (s *Server) access(user authn.User, r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
	a := authz.Attributes{User: user}
	switch {
	case r != nil:
		a.Verb, a.Group, a.Version, a.Resource = r.Verb, r.Group, r.Version, r.Resource
		a.Subresource, a.Namespace, a.Name = r.Subresource, r.Namespace, r.Name
	case n != nil:
		a.Verb, a.Path = n.Verb, n.Path
	}
	allowed, reason := authz.Allowed(s.View(), a)
	return authorizationv1.SubjectAccessReviewStatus{Allowed: allowed, Reason: reason}
}

func (s *Server) reviewSelfRules(c *call, obj runtime.Object) error {
	review := obj.(*authorizationv1.SelfSubjectRulesReview)
	review.Status = authorizationv1.SubjectRulesReviewStatus{ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}}
	if c.user.In(authn.Masters) {
		everything := []string{"*"}
		review.Status.ResourceRules = append(review.Status.ResourceRules, authorizationv1.ResourceRule{Verbs: everything, APIGroups: everything, Resources: everything})
		review.Status.NonResourceRules = append(review.Status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: everything, NonResourceURLs: everything})
	}
	for _, rule := range authz.Rules(s.View(), c.user, review.Spec.Namespace) {
		if len(rule.NonResourceURLs) > 0 {
			review.Status.NonResourceRules = append(review.Status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: rule.Verbs, NonResourceURLs: rule.NonResourceURLs})
			continue
		}
		review.Status.ResourceRules = append(review.Status.ResourceRules, authorizationv1.ResourceRule{
			Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames,
		})
	}
	return nil
}
