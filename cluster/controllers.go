package cluster

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/clusterdns"
	"github.com/skiff-sh/skiff/controller/deployment"
	"github.com/skiff-sh/skiff/controller/disruption"
	"github.com/skiff-sh/skiff/controller/endpoints"
	"github.com/skiff-sh/skiff/controller/endpointslice"
	"github.com/skiff-sh/skiff/controller/garbagecollector"
	"github.com/skiff-sh/skiff/controller/namespace"
	"github.com/skiff-sh/skiff/controller/nodelifecycle"
	"github.com/skiff-sh/skiff/controller/podgc"
	"github.com/skiff-sh/skiff/controller/replicaset"
	"github.com/skiff-sh/skiff/controller/rootca"
	"github.com/skiff-sh/skiff/controller/serviceaccount"
	"github.com/skiff-sh/skiff/resource"
)

// allControllers lists every controller.
func allControllers(kinds []*resource.Info, authority []byte, started time.Time) []controller.Controller {
	all := []controller.Controller{
		namespace.Controller(kinds),
		serviceaccount.Controller(),
		rootca.Controller(authority),
		replicaset.Controller(),
		deployment.Controller(),
		disruption.Controller(kinds),
		endpointslice.Controller(),
		endpoints.Controller(),
		nodelifecycle.Controller(nodelifecycle.Config{Started: started}),
		podgc.Controller(podgc.DefaultTerminatedPods),
		clusterdns.Controller(),
	}
	return append(all, garbagecollector.Controllers(kinds)...)
}

// controllerUser is who a controller writes as.
func controllerUser(name string) authn.User {
	return authn.ServiceAccount(metav1.NamespaceSystem, name+"-controller", "")
}

// controllerRoles permits each controller what its Writes say, and no more.
func controllerRoles(all []controller.Controller) ([]*rbacv1.ClusterRole, []*rbacv1.ClusterRoleBinding) {
	var roles []*rbacv1.ClusterRole
	var bindings []*rbacv1.ClusterRoleBinding
	for _, c := range all {
		name := "system:controller:" + c.Name + "-controller"
		role := authz.DefaultRole(name, controller.Rules(c)...)
		roles = append(roles, role)
		bindings = append(bindings, authz.DefaultBinding(name, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: controllerUser(c.Name).Name}))
	}
	return roles, bindings
}

func eventRule() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}}
}

// schedulerName is the scheduler's user, as upstream's.
const schedulerName = "system:kube-scheduler"

func schedulerRole() (*rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding) {
	role := authz.DefaultRole(schedulerName, eventRule(),
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/binding"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/status"}, Verbs: []string{"patch", "update"}})
	return role, authz.DefaultBinding(schedulerName, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: schedulerName})
}
