package resource

import corev1 "k8s.io/api/core/v1"

// ServiceAccounts is the kind ServiceAccount.
var ServiceAccounts = Define(Kind[*corev1.ServiceAccount]{
	Version: "v1", Kind: "ServiceAccount", Resource: "serviceaccounts", Short: []string{"sa"}, Namespaced: true,
})
