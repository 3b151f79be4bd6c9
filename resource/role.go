package resource

import rbacv1 "k8s.io/api/rbac/v1"

// Roles is the kind Role.
var Roles = Define(Kind[*rbacv1.Role]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "Role", Resource: "roles", Namespaced: true,
	Name:    pathSegmentName,
	Columns: []Column[*rbacv1.Role]{nameColumn[*rbacv1.Role](), createdColumn[*rbacv1.Role]()},
})
