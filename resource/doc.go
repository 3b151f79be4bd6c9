// Package resource says, once per kind, everything the server knows of a kind
// of object: its names, scope, defaulting, preparation, validation, columns,
// selectable fields, indexes and subresources. One file holds one kind, and
// all.go lists them. There are no internal types and no conversion layer: the
// type in memory is the one of k8s.io/api, in the version that is stored.
package resource
