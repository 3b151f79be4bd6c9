package resource

import coordinationv1 "k8s.io/api/coordination/v1"

// Leases is the kind Lease.
var Leases = Define(Kind[*coordinationv1.Lease]{
	Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Resource: "leases", Namespaced: true,
})
