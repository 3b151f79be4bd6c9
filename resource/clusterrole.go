package resource

import (
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// ClusterRoles is the kind ClusterRole.
var ClusterRoles = Define(Kind[*rbacv1.ClusterRole]{
	Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRole", Resource: "clusterroles",
	Recheck:        AsNewAndUpdate,
	Name:           validate.PathSegmentName,
	CreateOnUpdate: true,
	Validate: func(_ Request, r, _ *rbacv1.ClusterRole) field.ErrorList {
		return append(validate.Rules(r.Rules, false), validate.Aggregation(r.AggregationRule)...)
	},
})
