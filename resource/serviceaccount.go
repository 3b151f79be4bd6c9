package resource

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
)

// ServiceAccounts is the kind ServiceAccount.
var ServiceAccounts = Define(Kind[*corev1.ServiceAccount]{
	Version: "v1", Kind: "ServiceAccount", Resource: "serviceaccounts", Short: []string{"sa"}, Namespaced: true,
	ShowsDeleted: true,
	Recheck:      AsUpdateAndNew,
	Warn:         warnServiceAccount,
	Prepare: func(_ Request, sa, _ *corev1.ServiceAccount) {
		// Only the names of secrets mean anything here.
		for i := range sa.Secrets {
			sa.Secrets[i] = corev1.ObjectReference{Name: sa.Secrets[i].Name}
		}
	},
	Attached: []Attached{{Name: "token", Kind: authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"), Verbs: []string{"create"}}},
	Columns:  []Column[*corev1.ServiceAccount]{nameColumn[*corev1.ServiceAccount](), ageColumn[*corev1.ServiceAccount]()},
})
