package resource

import rbacv1 "k8s.io/api/rbac/v1"

// RoleBindings is the kind RoleBinding.
var RoleBindings = Define(Kind[*rbacv1.RoleBinding]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "RoleBinding", Resource: "rolebindings", Namespaced: true,
	Default: defaultRoleBinding,
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
