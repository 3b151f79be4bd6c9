package resource

import rbacv1 "k8s.io/api/rbac/v1"

// RoleBindings is the kind RoleBinding.
var RoleBindings = Define(Kind[*rbacv1.RoleBinding]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "RoleBinding", Resource: "rolebindings", Namespaced: true,
})
