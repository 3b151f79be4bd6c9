// Package controller runs reconcile functions. A controller is a pure function
// from a view of the cluster to a plan; the runner here owns what is impure:
// queue, wake-ups, retries, the clock and the writes. One folder below holds
// one controller, and package cluster/controlplane lists them.
package controller

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/skiff-sh/skiff/client"
	"github.com/skiff-sh/skiff/event"
	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// Controller is one reconcile function and what it depends on. The runner holds
// it to its Writes, and documentation, permissions and wake-ups come from these
// lists.
type Controller struct {
	Name string // "replicaset"; the user is system:serviceaccount:kube-system:<Name>-controller
	// EventSource is the component that events name, where upstream's is another
	// than <Name>-controller.
	EventSource string
	// For is the kind whose keys are reconciled. Where it is nil the keys are the
	// controller's own: those that the Keys of its Reads name, which then are also
	// asked about every object at the start.
	For *resource.Info
	// Parallel is how many keys are reconciled at once; 0 leaves it to Deps.
	Parallel int
	// Wants, where not nil, tells whether an object of For can need anything by
	// itself. Most of a cluster's objects are of no concern to most controllers,
	// and then cost no call.
	Wants func(obj resource.Object) bool
	// Reads are the other kinds whose changes wake keys of For.
	Reads []Input
	// Writes are the kinds and subresources that plans may change.
	Writes []Output
	// Reconcile decides what to do about the object at key, which may be gone. It
	// is pure: the same arguments give the same plan. It is not called for a key
	// again until the view has reached the last write made for that key.
	Reconcile func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand) Plan
	// Recall is given in place of Reconcile by a controller that decides by its
	// own past too. kept is what the last plan for the key kept, nil at first. It is
	// lost at the end of the process, so it may make a decision better but never be
	// needed for it.
	Recall func(v *view.View, key view.Key, now time.Time, rnd *rand.Rand, kept any) Plan
}

// Source is the component that the controller's events name.
func (c Controller) Source() string { return cmp.Or(c.EventSource, c.Name+"-controller") }

// Input is a kind that a controller reads.
type Input struct {
	Kind *resource.Info
	// Keys names the objects of For that a change of obj concerns. It is called
	// with the old and with the new state. v is the view after the change. Nil is
	// for kinds that are read but whose changes wake nothing.
	Keys func(v *view.View, obj resource.Object) []view.Key
	// After is how long the keys wait for their call, for what may yet turn out
	// otherwise. Further changes do not put it off. Such keys should be of no other
	// Input.
	After time.Duration
}

// Output is a kind, and a subresource or "", that a controller may write.
type Output struct {
	Kind        *resource.Info
	Subresource string
	Verbs       []resource.Verb
}

// Plan is what a reconcile function wants done.
type Plan struct {
	// Do is carried out in order, except that neighbours that all create, or all
	// delete, objects of one kind are done side by side. The first error ends the
	// plan, and the key is tried again with growing delay; NotFound on delete and
	// AlreadyExists on create with a fixed name are not errors, since the view was
	// behind.
	Do []client.Op
	// Failed, where not nil, says what is done in place of the rest after an
	// operation's error. Its plan's Err, if any, makes the key be tried again with
	// growing delay; its own Failed is not asked.
	Failed func(op client.Op, err error) Plan
	// Events are told to the user beside it.
	Events []Note
	// Again asks for another call after this time; 0 is only when something
	// changes.
	Again time.Duration
	// Keep is handed to the next call of Recall for the key, and then no longer
	// changed by anyone. A plan from Failed keeps in place of the plan that met the
	// error.
	Keep any
	// Err is a problem with the input: logged, and tried again with growing delay.
	Err error
}

// Note is an event about an object, before it is counted and written.
type Note struct {
	event.Note
	// After is the number, counted from 1, of the operation in Do whose success
	// this tells of. 0 is told whatever comes of the plan.
	After int
}
