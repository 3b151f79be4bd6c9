package resource

import rbacv1 "k8s.io/api/rbac/v1"

// ClusterRoles is the kind ClusterRole.
var ClusterRoles = Define(Kind[*rbacv1.ClusterRole]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRole", Resource: "clusterroles",
	Name:    pathSegmentName,
	Columns: []Column[*rbacv1.ClusterRole]{nameColumn[*rbacv1.ClusterRole](), createdColumn[*rbacv1.ClusterRole]()},
})
