package resource

import (
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Object is any API object. Whoever gets one from a view shares it with the
// whole process and must not change it: DeepCopyObject first.
type Object interface {
	metav1.Object
	runtime.Object
}

// Request is what a kind's functions may know of the request that they serve.
// It carries the time, so that they stay functions of their arguments.
type Request struct {
	Verb        Verb
	Subresource string // "" for the object itself
	// Version is the group and version that the request speaks.
	Version schema.GroupVersion
	Now     metav1.Time
	// User is who asks.
	User User
	// DryRun is set where nothing will be stored.
	DryRun bool
}

// User is who a request comes from (authentication/v1 UserInfo).
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// Verb is what a request does to an object, as kinds and plans distinguish it.
type Verb string

// The verbs that change objects.
const (
	Create Verb = "create"
	Update Verb = "update"
	Patch  Verb = "patch"
	Delete Verb = "delete"
)

// Kind is everything the server knows of one kind of object. Fields left out
// mean "nothing to do": a kind that needs no defaulting has no Default.
type Kind[T Object] struct {
	Group, Version string // "" is the core group
	Kind           string // "Pod"
	Resource       string // "pods"
	Singular       string // lower-case Kind if empty
	Short          []string
	Categories     []string
	Namespaced     bool
	// Prefix is the key prefix in the store below /registry/, as upstream's:
	// "minions" for nodes. Resource if empty.
	Prefix string
	// StoredAs is the version that the store says objects have, as upstream's: for
	// kinds whose newest version is too new for it. Version if empty.
	StoredAs string
	// TTL is how long an object lives in the store after its last write; 0 is
	// for ever.
	TTL time.Duration
	// Sealed kinds are encrypted in the store.
	Sealed bool

	// Computed is set where nothing is stored: the API server makes the objects up
	// when someone reads them. Such a kind can be got and listed, no more.
	Computed bool
	// Reset lists, by subresource, the fields that a write through it cannot
	// change, as dotted paths: nobody comes to own them that way. A kind with a
	// status that says nothing has "status" for the object itself and "spec" for
	// the status (upstream: GetResetFields of its strategy).
	Reset map[string][]string
	// NewStatus says that an object may be created with a status.
	NewStatus bool
	// ShowsDeleted says that a delete answers with what is gone now (upstream:
	// ReturnDeletedObject).
	ShowsDeleted bool
	// CreateOnUpdate lets an update create the object (upstream:
	// AllowCreateOnUpdate).
	CreateOnUpdate bool
	// Conditional makes every update name the resource version that it read
	// (upstream: AllowUnconditionalUpdate is false).
	Conditional bool

	// Name checks metadata.name and generateName's prefix; see package
	// k8s.io/apimachinery/pkg/api/validation. DNS subdomain if nil.
	Name func(name string, prefix bool) []string
	// Recheck says how the kind's rules look at the metadata of an update.
	Recheck Recheck
	// AnyFinalizer allows finalizers without a domain.
	AnyFinalizer bool
	// Default fills in what the user left out. It runs on every decoded object.
	Default func(T)
	// Restore fills in what the stored form of an object does not carry.
	Restore func(T)
	// Prepare clears or sets what this verb may not set, before admission. old is
	// nil on create.
	Prepare func(req Request, obj, old T)
	// Validate reports every problem of obj. old is nil on create. Metadata is
	// checked by the verbs, not here.
	Validate func(req Request, obj, old T) field.ErrorList
	// Deprecated is a warning that comes with every answer about this kind.
	Deprecated string
	// Warn returns warnings for the user, beside success.
	Warn func(obj, old T) []string
	// DeleteWarning comes with a delete that does not say what becomes of what the
	// object owns.
	DeleteWarning string
	// Orphans says that what the object owns stays when it is deleted by a request
	// that does not say otherwise, as it was before there was a garbage collector.
	Orphans bool
	// Delete decides what a delete request does. Nil deletes at once (finalizers
	// are the verbs' concern).
	Delete func(req Request, obj T, opts *metav1.DeleteOptions) DeleteAction

	// Spec returns what the user asks for, to be compared and not changed: when it
	// differs (semantically) after a write, metadata.generation grows. Nil for kinds
	// without a generation.
	Spec func(T) any
	// Status copies the status from one object to another. A kind that has one
	// has the subresource "status": writes to the object leave the status alone,
	// writes to status leave all else alone.
	Status func(to, from T)
	// Scale is the subresource "scale"; nil for none.
	Scale *Scale[T]
	// Parts are further subresources that speak this kind.
	Parts []Part[T]
	// Attached are subresources that speak other kinds.
	Attached []Attached

	Columns []Column[T]
	// Fields are the selectable fields beside metadata.name and
	// metadata.namespace.
	Fields map[string]func(T) string
	// NotByNamespace says that metadata.namespace is not selectable: upstream's
	// conversion of the kind's fields leaves it out.
	NotByNamespace bool
	// Indexes are look-ups by value in a view, and buckets for watches.
	Indexes map[string]func(T) []string
	// Also lists the other versions that the kind is served in. What is stored, in
	// views, defaulted and validated is always a T.
	Also []Served[T]
}

// Served is another version of a kind: a type, and a pair of functions between
// it and the stored one. Make it with Serve.
type Served[T Object] struct {
	Group, Version string
	// Fields maps this version's names of selectable fields to the stored
	// version's; metadata.name and metadata.namespace go without saying. Nil where
	// both versions have the same.
	Fields map[string]string
	New    func() Object
	// To returns a new object of this version; it shares nothing that it changes.
	To func(T) Object
	// From returns a new stored object.
	From func(Object) T
}

// Serve makes a Served out of typed functions.
func Serve[T, V Object](group, version string, fields map[string]string, to func(T) V, from func(V) T) Served[T] {
	elem := reflect.TypeFor[V]().Elem()
	return Served[T]{
		Group: group, Version: version, Fields: fields,
		New:  func() Object { return reflect.New(elem).Interface().(Object) },
		To:   func(o T) Object { return to(o) },
		From: func(o Object) T { return from(o.(V)) },
	}
}

// Scale says where a kind keeps its replica counts (autoscaling/v1 Scale).
type Scale[T Object] struct {
	Spec     func(T) int32
	SetSpec  func(T, int32)
	Status   func(T) int32
	Selector func(T) string // serialized label selector
}

// Column is one column of the Table that kubectl prints (KEP-1209, meta/v1
// Table).
type Column[T Object] struct {
	Name        string
	Type        string // "string", "integer", "date" ...; "string" if empty
	Format      string // "name" for the name column
	Description string
	Priority    int32 // above 0: only with -o wide
	// NoHeader is set where upstream's rows have a cell that no column is about.
	NoHeader bool
	// Value returns the cell: string, int64 or bool.
	Value func(obj T, now time.Time) any
}

// DeleteAction is what a delete request does to an object.
type DeleteAction struct {
	// Grace, where not nil, keeps the object with that many seconds of grace
	// until its agent deletes it with grace 0 (pods); 0 lets it go at once. The time of deletion is that
	// of the first delete request plus the grace, so for an object that is being
	// deleted already the same grace changes nothing and a smaller one moves that
	// time forward.
	Grace *int64
	// Keep leaves the object in place, marked as being deleted, until a
	// controller has emptied it (namespaces).
	Keep bool
	// Update changes the kept object (phase, conditions). It may be nil.
	Update func(Object)
}

// Info is a Kind with its type forgotten: what verbs, view and store use. A
// custom resource is an Info made at run time.
type Info struct {
	GVK           schema.GroupVersionKind
	GVR           schema.GroupVersionResource
	Singular      string
	Short         []string
	Categories    []string
	Deprecated    string
	Computed      bool
	Namespaced    bool
	Prefix        string                  // "/registry/pods/"
	Stored        schema.GroupVersionKind // of what is in the store
	TTL           time.Duration
	Sealed        bool
	Orphans       bool
	DeleteWarning string
	HasGeneration bool
	Reset         map[string][]string
	// These are as in Kind.
	NewStatus      bool
	ShowsDeleted   bool
	CreateOnUpdate bool
	Conditional    bool
	Scale          *Scale[Object]
	Columns        []Column[Object]
	Fields         map[string]func(Object) string
	Indexes        map[string]func(Object) []string
	New            func() Object
	Name           func(name string, prefix bool) []string
	Recheck        Recheck
	AnyFinalizer   bool
	Default        func(Object)
	Restore        func(Object)
	Prepare        func(req Request, obj, old Object)
	Validate       func(req Request, obj, old Object) field.ErrorList
	Warn           func(obj, old Object) []string
	Delete         func(req Request, obj Object, opts *metav1.DeleteOptions) DeleteAction
	Spec           func(Object) any
	CopyStatus     func(to, from Object)
	Subresources   []Subresource // by name
	// Served are the versions in which clients may speak of the kind. The first is
	// the stored one, which GVK and GVR name too.
	Served []*ServedInfo
}

// ServedInfo is a Served with its type forgotten, or the stored version itself.
// What it does not say is said by Info.
type ServedInfo struct {
	Info   *Info
	GVK    schema.GroupVersionKind
	GVR    schema.GroupVersionResource
	Fields map[string]func(Object) string // of the stored object, by this version's names
	New    func() Object
	// To and From return their argument where the version is the stored one.
	To   func(Object) Object
	From func(Object) Object
}

// Stored tells whether v is the version that is stored and in memory.
func (v *ServedInfo) Stored() bool { return v == v.Info.Served[0] }

// GR returns the group and resource that a client of this version speaks of.
func (v *ServedInfo) GR() schema.GroupResource { return v.GVR.GroupResource() }

// GR returns the group and resource, which name a kind whatever its version.
func (i *Info) GR() schema.GroupResource { return i.GVR.GroupResource() }

// Key returns the store key of an object, and of a namespace's or the whole
// kind's objects where name or both are empty.
func (i *Info) Key(namespace, name string) string {
	switch {
	case !i.Namespaced || namespace == "":
		return i.Prefix + name
	case name == "":
		return i.Prefix + namespace + "/"
	default:
		return i.Prefix + namespace + "/" + name
	}
}

// Typed is a kind together with its forgotten-type form. Every kind's file
// exports one, and typed reads of a view take it as their argument.
type Typed[T Object] struct {
	Kind[T]
	Info *Info
}

// Define makes a kind usable. It is called once per kind, by its file.
func Define[T Object](k Kind[T]) *Typed[T] {
	return &Typed[T]{Kind: k, Info: erase(k)}
}
