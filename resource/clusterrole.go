package resource

import rbacv1 "k8s.io/api/rbac/v1"

// ClusterRoles is the kind ClusterRole.
var ClusterRoles = Define(Kind[*rbacv1.ClusterRole]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRole", Resource: "clusterroles",
})
