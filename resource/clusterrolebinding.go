package resource

import rbacv1 "k8s.io/api/rbac/v1"

// ClusterRoleBindings is the kind ClusterRoleBinding.
var ClusterRoleBindings = Define(Kind[*rbacv1.ClusterRoleBinding]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRoleBinding", Resource: "clusterrolebindings",
	Default: defaultClusterRoleBinding,
	Name:    pathSegmentName,
	Columns: bindingColumns("clusterRoleBinding",
		func(b *rbacv1.ClusterRoleBinding) (rbacv1.RoleRef, []rbacv1.Subject) { return b.RoleRef, b.Subjects }),
})

func defaultClusterRoleBinding(b *rbacv1.ClusterRoleBinding) {
	setIfEmpty(&b.RoleRef.APIGroup, rbacv1.GroupName)
	defaultSubjects(b.Subjects)
}
