package resource

// All lists every built-in kind. The order is that of discovery.
func All() []*Info {
	return []*Info{
		Namespaces.Info,
		Nodes.Info,
		Pods.Info,
		Services.Info,
		Endpoints.Info,
		EndpointSlices.Info,
		ConfigMaps.Info,
		Secrets.Info,
		ServiceAccounts.Info,
		LimitRanges.Info,
		ResourceQuotas.Info,
		Events.Info,
		Leases.Info,
		ReplicaSets.Info,
		Deployments.Info,
		PersistentVolumes.Info,
		PersistentVolumeClaims.Info,
		NetworkPolicies.Info,
		Ingresses.Info,
		IngressClasses.Info,
		Roles.Info,
		ClusterRoles.Info,
		RoleBindings.Info,
		ClusterRoleBindings.Info,
		PriorityClasses.Info,
		StorageClasses.Info,
		ValidatingWebhookConfigurations.Info,
		MutatingWebhookConfigurations.Info,
	}
}
