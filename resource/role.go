package resource

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Roles is the kind Role.
var Roles = Define(Kind[*rbacv1.Role]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "Role", Resource: "roles", Namespaced: true,
	Recheck:        AsNewAndUpdate,
	Name:           validate.PathSegmentName,
	CreateOnUpdate: true,
	Validate:       func(_ Request, r, _ *rbacv1.Role) field.ErrorList { return validate.Rules(r.Rules, true) },
})
