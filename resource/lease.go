package resource

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Leases is the kind Lease.
var Leases = Define(Kind[*coordinationv1.Lease]{
	Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Resource: "leases", Namespaced: true,
	CreateOnUpdate: true, Conditional: true,
	Validate: func(_ Request, l, _ *coordinationv1.Lease) field.ErrorList { return validate.Lease(l) },
	Prepare:  prepareLease,
	Columns: []Column[*coordinationv1.Lease]{
		nameColumn[*coordinationv1.Lease](),
		column("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"], func(l *coordinationv1.Lease) any {
			if l.Spec.HolderIdentity == nil {
				return ""
			}
			return *l.Spec.HolderIdentity
		}),
		ageColumn[*coordinationv1.Lease](),
	},
})

// prepareLease clears the fields of coordinated leader election (KEP-4355),
// which is off by default in 1.37, unless they are in use.
func prepareLease(_ Request, l, old *coordinationv1.Lease) {
	if old == nil || old.Spec.Strategy == nil {
		l.Spec.Strategy = nil
	}
	if old == nil || old.Spec.PreferredHolder == nil {
		l.Spec.PreferredHolder = nil
	}
}
