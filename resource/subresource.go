package resource

import (
	"cmp"
	"reflect"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Part is a subresource that speaks the object's own kind: it reads as the whole
// object, and a write to it changes that one part ("status", "resize").
type Part[T Object] struct {
	Name string
	// Copy copies the part from one object to another.
	Copy func(to, from T)
	// Verbs are get, patch and update if empty.
	Verbs []string
	// KeepMetadata leaves labels, annotations, finalizers and owners as they are,
	// too. Without it they are the writer's.
	KeepMetadata bool
}

// Attached is a subresource that speaks a kind of its own ("eviction", "exec").
// What it does is the API server's; this is what discovery says of it.
type Attached struct {
	Name string
	// Kind is what a request for it carries, or what its query parameters are
	// called. Its group and version show in discovery where they are not those
	// of the object.
	Kind  schema.GroupVersionKind
	Verbs []string
	// Paths is set where whatever follows the name belongs to it ("proxy").
	Paths bool
}

// Subresource is a Part or an Attached with its type forgotten.
type Subresource struct {
	Attached
	// Copy is nil where the subresource speaks a kind of its own.
	Copy         func(to, from Object)
	KeepMetadata bool
}

// Own tells whether the subresource speaks the object's own kind.
func (s *Subresource) Own() bool { return s.Copy != nil }

// Does tells whether the subresource serves a verb.
func (s *Subresource) Does(verb string) bool { return slices.Contains(s.Verbs, verb) }

// Take makes obj, which someone wrote to the subresource, what the write asks
// for: old, but for the part.
func (s *Subresource) Take(obj, old Object) {
	next := old.DeepCopyObject().(Object)
	s.Copy(next, obj)
	next.SetResourceVersion(obj.GetResourceVersion())
	next.SetManagedFields(obj.GetManagedFields())
	if uid := obj.GetUID(); uid != "" { // another one is for the validation to refuse
		next.SetUID(uid)
	}
	if !s.KeepMetadata {
		next.SetGenerateName(obj.GetGenerateName())
		next.SetLabels(obj.GetLabels())
		next.SetAnnotations(obj.GetAnnotations())
		next.SetFinalizers(obj.GetFinalizers())
		next.SetOwnerReferences(obj.GetOwnerReferences())
	}
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(next).Elem())
}

// Subresource returns the subresource of that name, or nil.
func (i *Info) Subresource(name string) *Subresource {
	for n := range i.Subresources {
		if i.Subresources[n].Name == name {
			return &i.Subresources[n]
		}
	}
	return nil
}

// ScaleKind is what the subresource "scale" speaks.
var ScaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

func readAndWrite() []string { return []string{"get", "patch", "update"} }

// eraseSubresources lists all that a kind has beside itself, by name.
func eraseSubresources[T Object](info *Info, k Kind[T]) {
	parts := k.Parts
	if k.Status != nil {
		parts = append(slices.Clone(parts), Part[T]{Name: "status", Copy: k.Status})
		info.CopyStatus = func(to, from Object) { k.Status(to.(T), from.(T)) }
	}
	for _, p := range parts {
		sub := Subresource{
			Attached:     Attached{Name: p.Name, Kind: info.GVK, Verbs: p.Verbs},
			Copy:         func(to, from Object) { p.Copy(to.(T), from.(T)) },
			KeepMetadata: p.KeepMetadata,
		}
		if len(p.Verbs) == 0 {
			sub.Verbs = readAndWrite()
		}
		info.Subresources = append(info.Subresources, sub)
	}
	for _, a := range k.Attached {
		info.Subresources = append(info.Subresources, Subresource{Attached: a})
	}
	if s := k.Scale; s != nil {
		info.Scale = &Scale[Object]{
			Spec:     func(o Object) int32 { return s.Spec(o.(T)) },
			SetSpec:  func(o Object, n int32) { s.SetSpec(o.(T), n) },
			Status:   func(o Object) int32 { return s.Status(o.(T)) },
			Selector: func(o Object) string { return s.Selector(o.(T)) },
		}
		info.Subresources = append(info.Subresources, Subresource{Attached: Attached{Name: "scale", Kind: ScaleKind, Verbs: readAndWrite()}})
	}
	slices.SortFunc(info.Subresources, func(a, b Subresource) int { return cmp.Compare(a.Name, b.Name) })
}
