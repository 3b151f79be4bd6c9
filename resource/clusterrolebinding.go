package resource

import rbacv1 "k8s.io/api/rbac/v1"

// ClusterRoleBindings is the kind ClusterRoleBinding.
var ClusterRoleBindings = Define(Kind[*rbacv1.ClusterRoleBinding]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRoleBinding", Resource: "clusterrolebindings",
})
