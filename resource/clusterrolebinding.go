package resource

import (
	rbacv1 "k8s.io/api/rbac/v1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ClusterRoleBindings is the kind ClusterRoleBinding.
var ClusterRoleBindings = Define(Kind[*rbacv1.ClusterRoleBinding]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRoleBinding", Resource: "clusterrolebindings",
	Recheck:        AsNewAndUpdate,
	Name:           validate.PathSegmentName,
	CreateOnUpdate: true,
	Validate:       validateClusterRoleBinding,
	Default:        defaultClusterRoleBinding,
	Columns: bindingColumns("clusterRoleBinding", rbacv1beta1.ClusterRoleBinding{}.SwaggerDoc()["roleRef"],
		func(b *rbacv1.ClusterRoleBinding) (rbacv1.RoleRef, []rbacv1.Subject) { return b.RoleRef, b.Subjects }),
})

func defaultClusterRoleBinding(b *rbacv1.ClusterRoleBinding) {
	setIfEmpty(&b.RoleRef.APIGroup, rbacv1.GroupName)
	defaultSubjects(b.Subjects)
}

func validateClusterRoleBinding(_ Request, b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
	var was *rbacv1.RoleRef
	if old != nil {
		was = &old.RoleRef
	}
	return validate.Binding(b.RoleRef, b.Subjects, was, false, "ClusterRole")
}
