package resource

import (
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// RoleBindings is the kind RoleBinding.
var RoleBindings = Define(Kind[*rbacv1.RoleBinding]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "RoleBinding", Resource: "rolebindings", Namespaced: true,
	Recheck:        AsNewAndUpdate,
	Name:           validate.PathSegmentName,
	CreateOnUpdate: true,
	Validate:       validateRoleBinding,
	Default:        defaultRoleBinding,
	Columns: bindingColumns("roleBinding", rbacv1beta1.RoleBinding{}.SwaggerDoc()["roleRef"],
		func(b *rbacv1.RoleBinding) (rbacv1.RoleRef, []rbacv1.Subject) { return b.RoleRef, b.Subjects }),
})

func defaultRoleBinding(b *rbacv1.RoleBinding) {
	setIfEmpty(&b.RoleRef.APIGroup, rbacv1.GroupName)
	defaultSubjects(b.Subjects)
}

func defaultSubjects(subjects []rbacv1.Subject) {
	for i := range subjects {
		if kind := subjects[i].Kind; kind == rbacv1.UserKind || kind == rbacv1.GroupKind {
			setIfEmpty(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}

// bindingColumns are the columns of both kinds of binding.
func bindingColumns[T Object](word, role string, parts func(T) (rbacv1.RoleRef, []rbacv1.Subject)) []Column[T] {
	subjects := func(kind string) func(T) any {
		return func(b T) any {
			_, all := parts(b)
			var names []string
			for _, s := range all {
				switch {
				case s.Kind != kind:
				case kind == rbacv1.ServiceAccountKind:
					names = append(names, s.Namespace+"/"+s.Name)
				default:
					names = append(names, s.Name)
				}
			}
			return strings.Join(names, ", ")
		}
	}
	return []Column[T]{
		nameColumn[T](),
		column("Role", role, func(b T) any {
			ref, _ := parts(b)
			return ref.Kind + "/" + ref.Name
		}),
		ageColumn[T](),
		wideColumn("Users", "Users in the "+word, subjects(rbacv1.UserKind)),
		wideColumn("Groups", "Groups in the "+word, subjects(rbacv1.GroupKind)),
		wideColumn("ServiceAccounts", "ServiceAccounts in the "+word, subjects(rbacv1.ServiceAccountKind)),
	}
}

func validateRoleBinding(_ Request, b, old *rbacv1.RoleBinding) field.ErrorList {
	var was *rbacv1.RoleRef
	if old != nil {
		was = &old.RoleRef
	}
	return validate.Binding(b.RoleRef, b.Subjects, was, true, "Role", "ClusterRole")
}
