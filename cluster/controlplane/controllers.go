// Package controlplane says once what a control plane is made of, beside its
// API server: which controllers there are, who each component acts as, what
// those users may do, and what a new cluster holds. A server in production is
// put together from it, and so are clusters in memory for tests and simulation.
package controlplane

import (
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/skiff-sh/skiff/apiserver/authn"
	"github.com/skiff-sh/skiff/apiserver/authz"
	"github.com/skiff-sh/skiff/controller"
	"github.com/skiff-sh/skiff/controller/certificates"
	"github.com/skiff-sh/skiff/controller/clusterdns"
	"github.com/skiff-sh/skiff/controller/clusterroleaggregation"
	"github.com/skiff-sh/skiff/controller/cronjob"
	"github.com/skiff-sh/skiff/controller/daemonset"
	"github.com/skiff-sh/skiff/controller/deployment"
	"github.com/skiff-sh/skiff/controller/disruption"
	"github.com/skiff-sh/skiff/controller/endpoints"
	"github.com/skiff-sh/skiff/controller/endpointslice"
	"github.com/skiff-sh/skiff/controller/endpointslicemirroring"
	"github.com/skiff-sh/skiff/controller/ephemeralvolume"
	"github.com/skiff-sh/skiff/controller/flowschema"
	"github.com/skiff-sh/skiff/controller/garbagecollector"
	"github.com/skiff-sh/skiff/controller/horizontalpodautoscaler"
	"github.com/skiff-sh/skiff/controller/ipaddress"
	"github.com/skiff-sh/skiff/controller/job"
	"github.com/skiff-sh/skiff/controller/legacytoken"
	"github.com/skiff-sh/skiff/controller/loadbalancer"
	"github.com/skiff-sh/skiff/controller/localvolume"
	"github.com/skiff-sh/skiff/controller/namespace"
	"github.com/skiff-sh/skiff/controller/nodeipam"
	"github.com/skiff-sh/skiff/controller/nodelifecycle"
	"github.com/skiff-sh/skiff/controller/persistentvolume"
	"github.com/skiff-sh/skiff/controller/podgc"
	"github.com/skiff-sh/skiff/controller/replicaset"
	"github.com/skiff-sh/skiff/controller/replication"
	"github.com/skiff-sh/skiff/controller/resourcequota"
	"github.com/skiff-sh/skiff/controller/rootca"
	"github.com/skiff-sh/skiff/controller/serviceaccount"
	"github.com/skiff-sh/skiff/controller/servicecidrs"
	"github.com/skiff-sh/skiff/controller/statefulset"
	"github.com/skiff-sh/skiff/controller/tainteviction"
	"github.com/skiff-sh/skiff/controller/token"
	"github.com/skiff-sh/skiff/controller/ttlafterfinished"
	"github.com/skiff-sh/skiff/controller/volumeexpand"
	"github.com/skiff-sh/skiff/controller/volumeprotection"
	"github.com/skiff-sh/skiff/resource"
)

// Deps is what controllers need beside the view.
type Deps struct {
	Kinds     []*resource.Info
	Authority Signer                          // signs for the cluster's certificate authority
	SignToken token.Sign                      // signs tokens of service accounts
	PodRanges nodeipam.Config                 // where nodes' ranges of pod addresses come from
	Metrics   horizontalpodautoscaler.Metrics // what autoscalers follow
	Started   time.Time
}

// Controllers lists every controller.
func Controllers(d Deps) []controller.Controller {
	return []controller.Controller{
		namespace.Controller(d.Kinds),
		serviceaccount.Controller(),
		rootca.Controller(d.Authority.CertificatePEM()),
		certificates.Controller(d.Authority.signing()),
		certificates.PodRequests(),
		certificates.Publisher(d.Authority.CertificatePEM()),
		token.Accounts(d.SignToken, d.Authority.CertificatePEM()),
		token.Cleaner(),
		token.Signer(),
		legacytoken.Tracking(),
		legacytoken.Cleaner(),
		persistentvolume.Claims(),
		persistentvolume.Volumes(),
		ephemeralvolume.Controller(),
		volumeprotection.Claims(),
		volumeprotection.Volumes(),
		volumeprotection.Classes(),
		localvolume.Claims(),
		localvolume.Volumes(),
		volumeexpand.Controller(),
		replicaset.Controller(),
		replication.Controller(),
		deployment.Controller(),
		daemonset.Controller(),
		statefulset.Controller(),
		disruption.Controller(d.Kinds),
		disruption.Stale(),
		endpointslice.Controller(),
		endpoints.Controller(),
		endpointslicemirroring.Controller(),
		ipaddress.Controller(),
		loadbalancer.Controller(),
		servicecidrs.Controller(),
		nodeipam.Controller(d.PodRanges),
		nodelifecycle.Controller(nodelifecycle.Config{Started: d.Started}),
		tainteviction.Controller(),
		clusterroleaggregation.Controller(),
		flowschema.Controller(),
		resourcequota.Controller(d.Kinds),
		job.Controller(),
		job.Orphans(),
		ttlafterfinished.Controller(),
		cronjob.Controller(),
		horizontalpodautoscaler.Controller(d.Kinds, d.Metrics),
		podgc.Controller(podgc.DefaultTerminatedPods),
		clusterdns.Controller(),
		garbagecollector.Controller(d.Kinds),
	}
}

// ControllerUser is who a controller writes as: the account that upstream gives
// its rights to.
func ControllerUser(name string) authn.User {
	return Authenticated(authn.ServiceAccount(metav1.NamespaceSystem, controllerAccount(name), ""))
}

func controllerAccount(name string) string {
	switch name {
	case "podcertificaterequestcleaner", "kube-apiserver-serving-clustertrustbundle-publisher", legacytoken.CleanerName:
		return name
	case nodeipam.Name:
		return "node-controller"
	case persistentvolume.ClaimsName, persistentvolume.VolumesName:
		return persistentvolume.Account
	}
	return name + "-controller"
}

// Authenticated puts a user into the group of all that are known.
func Authenticated(user authn.User) authn.User {
	if !user.In(authn.Authenticated) {
		user.Groups = append(user.Groups, authn.Authenticated)
	}
	return user
}

// metricsReader lets those read metrics who may view, as metrics-server installs it.
const metricsReader = "system:aggregated-metrics-reader"

// Elector is who takes part in elections.
func Elector() authn.User { return ControllerUser("election") }

// permit lets the controllers and the scheduler do what they declare.
// Most of it upstream's roles give already; what they do not is in a role of
// Skiff's own, so that upstream's stay as everyone knows them.
func permit(d *authz.Defaults, all []controller.Controller) {
	for _, c := range all {
		user := ControllerUser(c.Name).Name
		need := controller.Rules(c)
		if role := d.ClusterRole("system:controller:" + controllerAccount(c.Name)); role != nil {
			if covered, _ := validation.Covers(role.Rules, need); covered {
				continue
			}
		}
		d.AddClusterRole("skiff:controller:"+c.Name, need, authz.UserSubject(user))
	}
	d.AddClusterRole("skiff:election", []rbacv1.PolicyRule{{
		APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "update", "delete"},
	}}, authz.UserSubject(Elector().Name))
	d.AddClusterRole("skiff:node", nodeRules(), authz.GroupSubject(authn.Nodes))
	d.Aggregate(metricsReader, []rbacv1.PolicyRule{{
		APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"pods", "nodes"}, Verbs: []string{"get", "list", "watch"},
	}}, "view", "edit", "admin")
	d.BindClusterRole("skiff:kubelet-serving-approver", "system:certificates.k8s.io:kubelet-serving-approver",
		authz.UserSubject(ControllerUser("certificate").Name))
	const requests = "system:certificates.k8s.io:certificatesigningrequests:"
	d.BindClusterRole("skiff:node-bootstrapper", "system:node-bootstrapper", authz.GroupSubject(JoinGroup))
	d.BindClusterRole("skiff:node-client-certificates", requests+"nodeclient", authz.GroupSubject(JoinGroup))
	d.BindClusterRole("skiff:node-certificate-rotation", requests+"selfnodeclient", authz.GroupSubject(authn.Nodes))
}

// JoinGroup is the group of bootstrap tokens that let machines join. Bootstrap
// tokens of other tools are not in it.
const JoinGroup = "system:bootstrappers:skiff:join"

// nodeRules are what a node's routes, service proxy and DNS read, and which volumes'
// data the agent is to remove, beside what the node authorizer lets the agent do.
func nodeRules() []rbacv1.PolicyRule {
	reading := []string{"get", "list", "watch"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: reading, Resources: []string{"services", "namespaces", "nodes", "pods", "persistentvolumes"}},
		{APIGroups: []string{"networking.k8s.io"}, Verbs: reading, Resources: []string{"networkpolicies"}},
		{APIGroups: []string{"discovery.k8s.io"}, Verbs: reading, Resources: []string{"endpointslices"}},
	}
}

// Manager is who the controllers read as, as upstream's.
func Manager() authn.User {
	return Authenticated(authn.User{Name: "system:kube-controller-manager"})
}

// Scheduler is who the scheduler acts as, as upstream's.
func Scheduler() authn.User { return Authenticated(authn.User{Name: "system:kube-scheduler"}) }
