package server

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/skiff-sh/skiff/client"
)

// Groups that upstream's API server gives a meaning.
const (
	masters       = "system:masters"
	authenticated = "system:authenticated"
)

// Access knows users by their tokens and decides what they may do.
type Access interface {
	// User returns whose token it is; false if it is nobody's.
	User(ctx context.Context, token string) (authenticationv1.UserInfo, bool, error)
	// Allowed decides one question.
	Allowed(ctx context.Context, user authenticationv1.UserInfo, what authorizationv1.ResourceAttributes) (bool, error)
}

// How long the API server's answers hold, and how many are kept, as upstream's
// kubelet has them.
const (
	userHolds    = 2 * time.Minute
	allowedHolds = 5 * time.Minute
	deniedHolds  = 30 * time.Second
	answersMost  = 1024
)

// Reviews is Access by the API server's word: TokenReview and
// SubjectAccessReview.
type Reviews struct {
	reviewer client.Reviewer
	users    *cache.LRUExpireCache // by the token's hash
	verdicts *cache.LRUExpireCache // by the question
}

// NewReviews returns an Access that asks reviewer.
func NewReviews(reviewer client.Reviewer) *Reviews {
	return &Reviews{reviewer: reviewer, users: cache.NewLRUExpireCache(answersMost), verdicts: cache.NewLRUExpireCache(answersMost)}
}

// User implements Access.
func (v *Reviews) User(ctx context.Context, token string) (authenticationv1.UserInfo, bool, error) {
	key := sha256.Sum256([]byte(token))
	if user, ok := v.users.Get(key); ok {
		return user.(authenticationv1.UserInfo), true, nil
	}
	question := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	obj, err := v.reviewer.Review(ctx, authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), question)
	if err != nil {
		return authenticationv1.UserInfo{}, false, fmt.Errorf("ask the API server whose token it is: %w", err)
	}
	status := obj.(*authenticationv1.TokenReview).Status
	if status.Authenticated {
		v.users.Add(key, status.User, userHolds)
	}
	return status.User, status.Authenticated, nil
}

// Allowed implements Access. Who may do anything is not asked about, so that the
// API server reaches the node's pods without a question back.
func (v *Reviews) Allowed(ctx context.Context, user authenticationv1.UserInfo, what authorizationv1.ResourceAttributes) (bool, error) {
	if slices.Contains(user.Groups, masters) {
		return true, nil
	}
	question := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &what, User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
	}}
	for key, values := range user.Extra {
		question.Spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	text, err := json.Marshal(question.Spec)
	if err != nil {
		return false, fmt.Errorf("encode the question what %s may do: %w", user.Username, err)
	}
	key := string(text)
	if allowed, ok := v.verdicts.Get(key); ok {
		return allowed.(bool), nil
	}
	obj, err := v.reviewer.Review(ctx, authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), question)
	if err != nil {
		return false, fmt.Errorf("ask the API server what %s may do: %w", user.Username, err)
	}
	allowed := obj.(*authorizationv1.SubjectAccessReview).Status.Allowed
	holds := deniedHolds
	if allowed {
		holds = allowedHolds
	}
	v.verdicts.Add(key, allowed, holds)
	return allowed, nil
}

// accesses returns what a request needs, any of which is enough: upstream's
// subresources of the node, the narrowest first (KEP-2862).
func accesses(method, path, node string) []authorizationv1.ResourceAttributes {
	verb := map[string]string{
		http.MethodPost: "create", http.MethodGet: "get", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
	}[method]
	var list []authorizationv1.ResourceAttributes
	for _, subresource := range subresources(path) {
		list = append(list, authorizationv1.ResourceAttributes{Verb: verb, Version: "v1", Resource: "nodes", Subresource: subresource, Name: node})
	}
	return list
}

func subresources(path string) []string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "stats", "metrics", "checkpoint", "statusz":
		return []string{first}
	case "logs":
		return []string{"log"}
	case "flagz":
		return []string{"configz"}
	case "pods", "runningpods", "allocatedPods":
		return []string{"pods", "proxy"}
	case "healthz", "configz":
		return []string{first, "proxy"}
	}
	return []string{"proxy"}
}

// authorize lets only users pass who may do what they ask for.
func (s *Server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, known, err := s.user(r)
		if err != nil {
			s.log.Warn("cannot tell who asks", "err", err)
		}
		if !known {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		needs := accesses(r.Method, r.URL.Path, s.config.Node)
		allowed, err := s.allowed(r.Context(), user, needs)
		asked := fmt.Sprintf("(user=%s, verb=%s, resource=nodes, subresource(s)=%v)", user.Username, needs[0].Verb, subresources(r.URL.Path))
		switch {
		case allowed:
			next.ServeHTTP(w, r)
		case err != nil:
			s.log.Warn("cannot tell whether a user may ask", "user", user.Username, "path", r.URL.Path, "err", err)
			http.Error(w, "Authorization error "+asked, http.StatusInternalServerError)
		default:
			http.Error(w, "Forbidden "+asked, http.StatusForbidden)
		}
	})
}

// user tells who asks: by the client certificate, or else by the token.
func (s *Server) user(r *http.Request) (authenticationv1.UserInfo, bool, error) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		subject := r.TLS.VerifiedChains[0][0].Subject
		groups := append([]string{authenticated}, subject.Organization...)
		return authenticationv1.UserInfo{Username: subject.CommonName, Groups: groups}, true, nil
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return authenticationv1.UserInfo{}, false, nil
	}
	return s.config.Access.User(r.Context(), token)
}

// allowed asks for one access after the other. An error counts only if no other
// access lets the user in.
func (s *Server) allowed(ctx context.Context, user authenticationv1.UserInfo, needs []authorizationv1.ResourceAttributes) (bool, error) {
	var errs []error
	for _, need := range needs {
		allowed, err := s.config.Access.Allowed(ctx, user, need)
		if allowed {
			return true, nil
		}
		errs = append(errs, err)
	}
	return false, errors.Join(errs...)
}
