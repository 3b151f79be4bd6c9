package apiserver

import (
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/skiff-sh/skiff/apiserver/authn"
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

// reviewOf finds the review that a resource is, or nil.
func reviewOf(gvr schema.GroupVersionResource) *review {
	for i := range reviews {
		if r := &reviews[i]; gvr.Resource == r.resource && gvr.Group == r.gvk.Group && gvr.Version == r.gvk.Version {
			return r
		}
	}
	return nil
}

// serveReview answers a review.
func (s *Server) serveReview(w http.ResponseWriter, r *http.Request, c *call, review *review) {
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
}

func (s *Server) reviewSelf(c *call, obj runtime.Object) error {
	*obj.(*authenticationv1.SelfSubjectReview) = authenticationv1.SelfSubjectReview{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(c.now.Truncate(time.Second))},
		Status:     authenticationv1.SelfSubjectReviewStatus{UserInfo: userInfo(c.user)},
	}
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
		audiences = s.auth.Audiences
	}
	user, granted, err := s.auth.Token(c.ctx, review.Spec.Token, audiences)
	if err != nil {
		review.Status = authenticationv1.TokenReviewStatus{Error: err.Error()}
		return nil
	}
	review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: userInfo(user), Audiences: granted}
	return nil
}
