// Package event tells users what happened to an object: it counts repeated
// notes, combines similar ones, drops floods and writes the rest as core/v1
// Events, without ever making its caller wait.
package event

import (
	"github.com/skiff-sh/skiff/resource"
)

// Note is an event about an object, before it is counted and written.
type Note struct {
	About   resource.Object
	Kind    *resource.Info
	Path    string // of the part it is about: "spec.containers{web}"; may be empty
	Warning bool
	Reason  string // CamelCase
	Message string
	// Action, where not empty, is what was done or tried ("Binding"). The event
	// then has the form of events.k8s.io/v1, as upstream's newer components write
	// it: repeated ones are a series that keeps the first message.
	Action string
}

func (n Note) kind() string {
	if n.Warning {
		return "Warning"
	}
	return "Normal"
}
