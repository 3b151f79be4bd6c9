package resource

import (
	"iter"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"net/netip"
)

var Namespaces = Define(Kind[*corev1.Namespace]{Version: "v1", Kind: "Namespace", Resource: "namespaces", Short: []string{"ns"}, Status: func(to, from *corev1.Namespace) { to.Status = from.Status }})
var Nodes = Define(Kind[*corev1.Node]{Version: "v1", Kind: "Node", Resource: "nodes", Short: []string{"no"}, Prefix: "minions", Status: func(to, from *corev1.Node) { to.Status = from.Status }})
var Pods = Define(Kind[*corev1.Pod]{Version: "v1", Kind: "Pod", Resource: "pods", Short: []string{"po"}, Namespaced: true, Spec: func(p *corev1.Pod) any { return &p.Spec }, Status: func(to, from *corev1.Pod) { to.Status = from.Status },
	Fields:  map[string]func(*corev1.Pod) string{"spec.nodeName": func(p *corev1.Pod) string { return p.Spec.NodeName }},
	Indexes: map[string]func(*corev1.Pod) []string{"spec.nodeName": func(p *corev1.Pod) []string { return []string{p.Spec.NodeName} }}})
var Services = Define(Kind[*corev1.Service]{Version: "v1", Kind: "Service", Resource: "services", Short: []string{"svc"}, Namespaced: true, Prefix: "services/specs", Status: func(to, from *corev1.Service) { to.Status = from.Status }})
var Endpoints = Define(Kind[*corev1.Endpoints]{Version: "v1", Kind: "Endpoints", Resource: "endpoints", Short: []string{"ep"}, Namespaced: true, Prefix: "services/endpoints"})
var EndpointSlices = Define(Kind[*discoveryv1.EndpointSlice]{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice", Resource: "endpointslices", Namespaced: true})
var Secrets = Define(Kind[*corev1.Secret]{Version: "v1", Kind: "Secret", Resource: "secrets", Namespaced: true})
var ServiceAccounts = Define(Kind[*corev1.ServiceAccount]{Version: "v1", Kind: "ServiceAccount", Resource: "serviceaccounts", Short: []string{"sa"}, Namespaced: true})
var Events = Define(Kind[*corev1.Event]{Version: "v1", Kind: "Event", Resource: "events", Short: []string{"ev"}, Namespaced: true})
var Leases = Define(Kind[*coordinationv1.Lease]{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Resource: "leases", Namespaced: true})
var ReplicaSets = Define(Kind[*appsv1.ReplicaSet]{Group: "apps", Version: "v1", Kind: "ReplicaSet", Resource: "replicasets", Short: []string{"rs"}, Namespaced: true, Spec: func(p *appsv1.ReplicaSet) any { return &p.Spec }, Status: func(to, from *appsv1.ReplicaSet) { to.Status = from.Status }})
var Deployments = Define(Kind[*appsv1.Deployment]{Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments", Short: []string{"deploy"}, Namespaced: true, Spec: func(p *appsv1.Deployment) any { return &p.Spec }, Status: func(to, from *appsv1.Deployment) { to.Status = from.Status }})
var Roles = Define(Kind[*rbacv1.Role]{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role", Resource: "roles", Name: path.ValidatePathSegmentName, Namespaced: true})
var ClusterRoles = Define(Kind[*rbacv1.ClusterRole]{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", Resource: "clusterroles", Name: path.ValidatePathSegmentName})
var RoleBindings = Define(Kind[*rbacv1.RoleBinding]{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding", Resource: "rolebindings", Name: path.ValidatePathSegmentName, Namespaced: true})
var ClusterRoleBindings = Define(Kind[*rbacv1.ClusterRoleBinding]{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding", Resource: "clusterrolebindings", Name: path.ValidatePathSegmentName})

func AllocateService(svc, old *corev1.Service, services iter.Seq[*corev1.Service], cidrs []netip.Prefix, ports [2]int32) field.ErrorList {
	return nil
}
