package expression

import apicel "k8s.io/apiserver/pkg/cel"

// fields are those of a type, by name.
type fields map[string]*apicel.DeclType

// object is a type of the API. Fields of requests may be missing where optional
// names them.
func object(name string, all fields, optional ...string) *apicel.DeclType {
	declared := map[string]*apicel.DeclField{}
	for field, t := range all {
		declared[field] = apicel.NewDeclField(field, t, true, nil, nil)
	}
	for _, field := range optional {
		declared[field].Required = false
	}
	return apicel.NewObjectType("kubernetes."+name, declared)
}

func listOf(t *apicel.DeclType) *apicel.DeclType { return apicel.NewListType(t, -1) }

func mapOf(t *apicel.DeclType) *apicel.DeclType { return apicel.NewMapType(apicel.StringType, t, -1) }

func requestType() *apicel.DeclType {
	text := apicel.StringType
	kind := object("GroupVersionKind", fields{"group": text, "version": text, "kind": text})
	resource := object("GroupVersionResource", fields{"group": text, "version": text, "resource": text})
	user := object("UserInfo", fields{"username": text, "uid": text, "groups": listOf(text), "extra": mapOf(listOf(text))},
		"username", "uid", "groups", "extra")
	return object("AdmissionRequest", fields{
		"kind": kind, "resource": resource, "subResource": text, "requestKind": kind, "requestResource": resource,
		"requestSubResource": text, "name": text, "namespace": text, "operation": text, "userInfo": user,
		"dryRun": apicel.BoolType, "options": apicel.DynType,
	}, "subResource", "requestSubResource", "namespace", "dryRun", "options")
}

// namespaceType leaves out what expressions have no use for, as upstream does.
func namespaceType() *apicel.DeclType {
	text, time, number := apicel.StringType, apicel.TimestampType, apicel.IntType
	condition := object("NamespaceCondition", fields{
		"status": text, "type": text, "lastTransitionTime": time, "message": text, "reason": text})
	metadata := object("NamespaceMetadata", fields{
		"name": text, "generateName": text, "namespace": text, "labels": mapOf(text), "annotations": mapOf(text), "UID": text,
		"creationTimestamp": time, "deletionGracePeriodSeconds": number, "deletionTimestamp": time, "generation": number,
		"resourceVersion": text, "finalizers": listOf(text)})
	return object("Namespace", fields{
		"metadata": metadata, "spec": object("NamespaceSpec", fields{"finalizers": listOf(text)}),
		"status": object("NamespaceStatus", fields{"conditions": listOf(condition), "phase": text}),
	})
}
