package resource

import (
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The flow schemas and priority levels that every cluster has (KEP-1040). The
// required ones cannot be otherwise; the suggested ones are the administrator's
// to change, who then clears their annotation.

// RequiredPriorityLevels returns the levels of requests that are never held
// back, and of those that no schema wants.
func RequiredPriorityLevels() []*flowcontrolv1.PriorityLevelConfiguration {
	none, few := int32(0), int32(5)
	return []*flowcontrolv1.PriorityLevelConfiguration{
		priorityLevel(flowcontrolv1.PriorityLevelConfigurationNameExempt, flowcontrolv1.PriorityLevelConfigurationSpec{
			Type:   flowcontrolv1.PriorityLevelEnablementExempt,
			Exempt: &flowcontrolv1.ExemptPriorityLevelConfiguration{NominalConcurrencyShares: &none, LendablePercent: &none},
		}),
		priorityLevel(flowcontrolv1.PriorityLevelConfigurationNameCatchAll, flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited,
			Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: &few, LendablePercent: &none,
				LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject},
			},
		}),
	}
}

// SuggestedPriorityLevels returns the levels that requests share by default.
func SuggestedPriorityLevels() []*flowcontrolv1.PriorityLevelConfiguration {
	return []*flowcontrolv1.PriorityLevelConfiguration{
		queuedLevel("system", 30, 33, 64, 6),
		queuedLevel("node-high", 40, 25, 64, 6),
		queuedLevel("leader-election", 10, 0, 16, 4),
		queuedLevel("workload-high", 40, 50, 128, 6),
		queuedLevel("workload-low", 100, 90, 128, 6),
		queuedLevel("global-default", 20, 50, 128, 6),
	}
}

func queuedLevel(name string, shares, lendable, queues, hand int32) *flowcontrolv1.PriorityLevelConfiguration {
	const length = 50
	return priorityLevel(name, flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited,
		Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			NominalConcurrencyShares: &shares, LendablePercent: &lendable,
			LimitResponse: flowcontrolv1.LimitResponse{
				Type:    flowcontrolv1.LimitResponseTypeQueue,
				Queuing: &flowcontrolv1.QueuingConfiguration{Queues: queues, HandSize: hand, QueueLengthLimit: length},
			},
		},
	})
}

func priorityLevel(name string, spec flowcontrolv1.PriorityLevelConfigurationSpec) *flowcontrolv1.PriorityLevelConfiguration {
	return &flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: flowMeta(name), Spec: spec}
}

func flowMeta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Annotations: map[string]string{flowcontrolv1.AutoUpdateAnnotationKey: "true"}}
}

// RequiredFlowSchemas returns the schemas of administrators and of all that no
// other schema takes.
func RequiredFlowSchemas() []*flowcontrolv1.FlowSchema {
	return []*flowcontrolv1.FlowSchema{
		flowSchema("exempt", "exempt", 1, "", everything(groupSubjects("system:masters"))),
		flowSchema("catch-all", "catch-all", 10000, flowcontrolv1.FlowDistinguisherMethodByUserType, everything(everyone())),
	}
}

// SuggestedFlowSchemas returns the schemas that sort requests by default.
func SuggestedFlowSchemas() []*flowcontrolv1.FlowSchema {
	const (
		byUser      = flowcontrolv1.FlowDistinguisherMethodByUserType
		byNamespace = flowcontrolv1.FlowDistinguisherMethodByNamespaceType
	)
	all := []string{"*"}
	leases := func(verbs ...string) flowcontrolv1.ResourcePolicyRule {
		return flowcontrolv1.ResourcePolicyRule{Verbs: verbs, APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Namespaces: all}
	}
	nodes := groupSubjects("system:nodes")
	return []*flowcontrolv1.FlowSchema{
		flowSchema("probes", "exempt", 2, "", flowcontrolv1.PolicyRulesWithSubjects{
			Subjects:         everyone(),
			NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/readyz", "/livez"}}},
		}),
		flowSchema("system-leader-election", "leader-election", 100, byUser, flowcontrolv1.PolicyRulesWithSubjects{
			Subjects:      append(userSubjects("system:kube-controller-manager", "system:kube-scheduler"), systemAccounts()...),
			ResourceRules: []flowcontrolv1.ResourcePolicyRule{leases("get", "create", "update")},
		}),
		flowSchema("system-node-high", "node-high", 400, byUser, flowcontrolv1.PolicyRulesWithSubjects{
			Subjects: nodes,
			ResourceRules: []flowcontrolv1.ResourcePolicyRule{
				{Verbs: all, APIGroups: []string{""}, Resources: []string{"nodes", "nodes/status"}, Namespaces: all, ClusterScope: true},
				leases("*"),
			},
		}),
		flowSchema("system-nodes", "system", 500, byUser, everything(nodes)),
		flowSchema("kube-controller-manager", "workload-high", 800, byNamespace, everything(userSubjects("system:kube-controller-manager"))),
		flowSchema("kube-scheduler", "workload-high", 800, byNamespace, everything(userSubjects("system:kube-scheduler"))),
		flowSchema("kube-system-service-accounts", "workload-high", 900, byNamespace, everything(systemAccounts())),
		flowSchema("service-accounts", "workload-low", 9000, byUser, everything(groupSubjects("system:serviceaccounts"))),
		flowSchema("global-default", "global-default", 9900, byUser, everything(everyone())),
	}
}

func flowSchema(name, level string, precedence int32, method flowcontrolv1.FlowDistinguisherMethodType, rules flowcontrolv1.PolicyRulesWithSubjects) *flowcontrolv1.FlowSchema {
	s := &flowcontrolv1.FlowSchema{ObjectMeta: flowMeta(name), Spec: flowcontrolv1.FlowSchemaSpec{
		PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: level},
		MatchingPrecedence:         precedence,
		Rules:                      []flowcontrolv1.PolicyRulesWithSubjects{rules},
	}}
	if method != "" {
		s.Spec.DistinguisherMethod = &flowcontrolv1.FlowDistinguisherMethod{Type: method}
	}
	return s
}

// everything is any request of these subjects.
func everything(subjects []flowcontrolv1.Subject) flowcontrolv1.PolicyRulesWithSubjects {
	all := []string{"*"}
	return flowcontrolv1.PolicyRulesWithSubjects{
		Subjects:         subjects,
		ResourceRules:    []flowcontrolv1.ResourcePolicyRule{{Verbs: all, APIGroups: all, Resources: all, Namespaces: all, ClusterScope: true}},
		NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: all, NonResourceURLs: all}},
	}
}

func everyone() []flowcontrolv1.Subject {
	return groupSubjects("system:unauthenticated", "system:authenticated")
}

func groupSubjects(names ...string) []flowcontrolv1.Subject {
	var all []flowcontrolv1.Subject
	for _, name := range names {
		all = append(all, flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: name}})
	}
	return all
}

func userSubjects(names ...string) []flowcontrolv1.Subject {
	var all []flowcontrolv1.Subject
	for _, name := range names {
		all = append(all, flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: name}})
	}
	return all
}

func systemAccounts() []flowcontrolv1.Subject {
	return []flowcontrolv1.Subject{{
		Kind:           flowcontrolv1.SubjectKindServiceAccount,
		ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Namespace: metav1.NamespaceSystem, Name: flowcontrolv1.NameAll},
	}}
}
