package apiserver

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// writesAtOnce is how many default roles and bindings are written together: the
// store makes several durable for the price of one.
const writesAtOnce = 32

// ensureDefaults creates the default roles and bindings, and gives those that are
// there what a newer version adds: permissions and subjects, never taking any
// away (documentation, "Auto-reconciliation").
func (s *Server) ensureDefaults(ctx context.Context, c client.Client, d *authz.Defaults) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writesAtOnce)
	for _, role := range d.ClusterRoles {
		group.Go(func() error { return reconcile(ctx, c, resource.ClusterRoles, role, mendClusterRole) })
	}
	for _, role := range d.Roles {
		group.Go(func() error { return reconcile(ctx, c, resource.Roles, role, mendRole) })
	}
	for _, b := range d.ClusterRoleBindings {
		group.Go(func() error { return reconcile(ctx, c, resource.ClusterRoleBindings, b, mendClusterBinding) })
	}
	for _, b := range d.RoleBindings {
		group.Go(func() error { return reconcile(ctx, c, resource.RoleBindings, b, mendBinding) })
	}
	return group.Wait()
}

// reconcile creates want, or mends what is there. mend changes have, and returns
// false where it can only be replaced.
func reconcile[T resource.Object](ctx context.Context, c client.Client, kind *resource.Typed[T], want T, mend func(have, want T) bool) error {
	old, ok := view.Get(c.Cache().View(), kind, want.GetNamespace(), want.GetName())
	if !ok {
		return ensure(ctx, c, kind, want)
	}
	if old.GetAnnotations()[authz.AutoUpdate] == "false" {
		return nil
	}
	next := old.DeepCopyObject().(T)
	next.SetLabels(addMissing(next.GetLabels(), want.GetLabels()))
	next.SetAnnotations(addMissing(next.GetAnnotations(), want.GetAnnotations()))
	if !mend(next, want) {
		if _, err := c.Do(ctx, client.Delete(kind, old)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s: %w", kind.Info.GVK.Kind, want.GetName(), err)
		}
		return ensure(ctx, c, kind, want)
	}
	if apiequality.Semantic.DeepEqual(old, next) {
		return nil
	}
	if _, err := c.Do(ctx, client.Update(kind, next)); err != nil {
		return fmt.Errorf("update %s %s: %w", kind.Info.GVK.Kind, want.GetName(), err)
	}
	return nil
}

func addMissing(have, want map[string]string) map[string]string {
	out := maps.Clone(want)
	maps.Copy(out, have)
	return out
}

func mendClusterRole(have, want *rbacv1.ClusterRole) bool {
	if want.AggregationRule == nil {
		have.Rules = addRules(have.Rules, want.Rules)
		return true
	}
	if have.AggregationRule == nil {
		have.AggregationRule = &rbacv1.AggregationRule{}
	}
	selectors := &have.AggregationRule.ClusterRoleSelectors
	for _, selector := range want.AggregationRule.ClusterRoleSelectors {
		if !slices.ContainsFunc(*selectors, func(s metav1.LabelSelector) bool { return apiequality.Semantic.DeepEqual(s, selector) }) {
			*selectors = append(*selectors, selector)
		}
	}
	return true
}

func mendRole(have, want *rbacv1.Role) bool {
	have.Rules = addRules(have.Rules, want.Rules)
	return true
}

func addRules(have, want []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	_, missing := validation.Covers(have, want)
	return append(have, missing...)
}

func mendClusterBinding(have, want *rbacv1.ClusterRoleBinding) bool {
	have.Subjects = addSubjects(have.Subjects, want.Subjects)
	return have.RoleRef == want.RoleRef
}

func mendBinding(have, want *rbacv1.RoleBinding) bool {
	have.Subjects = addSubjects(have.Subjects, want.Subjects)
	return have.RoleRef == want.RoleRef
}

func addSubjects(have, want []rbacv1.Subject) []rbacv1.Subject {
	for _, s := range want {
		if !slices.Contains(have, s) {
			have = append(have, s)
		}
	}
	return have
}
