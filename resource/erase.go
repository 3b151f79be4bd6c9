package resource

import (
	"cmp"
	"reflect"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func erase[T Object](k Kind[T]) *Info {
	elem := reflect.TypeFor[T]().Elem()
	info := &Info{
		GVK:           schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind},
		GVR:           schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource},
		Singular:      k.Singular,
		Short:         k.Short,
		Categories:    k.Categories,
		Deprecated:    k.Deprecated,
		Computed:      k.Computed,
		Namespaced:    k.Namespaced,
		Prefix:        "/registry/" + cmp.Or(k.Prefix, k.Resource) + "/",
		TTL:           k.TTL,
		Orphans:       k.Orphans,
		DeleteWarning: k.DeleteWarning,
		Sealed:        k.Sealed,
		HasGeneration: k.Spec != nil,
		New:           func() Object { return reflect.New(elem).Interface().(Object) },
		Name:          k.Name,
		Recheck:       k.Recheck,
		AnyFinalizer:  k.AnyFinalizer,

		Reset:          k.Reset,
		Stored:         schema.GroupVersionKind{Group: k.Group, Version: cmp.Or(k.StoredAs, k.Version), Kind: k.Kind},
		NewStatus:      k.NewStatus,
		ShowsDeleted:   k.ShowsDeleted,
		CreateOnUpdate: k.CreateOnUpdate,
		Conditional:    k.Conditional,
	}
	if info.Reset == nil && k.Status != nil {
		info.Reset = map[string][]string{"": {"status"}, "status": {"spec"}}
	}
	if info.Singular == "" {
		info.Singular = strings.ToLower(k.Kind)
	}
	eraseFuncs(info, k)
	eraseSubresources(info, k)
	eraseLookups(info, k)
	return info
}

// typed returns obj as a T, and the zero T for nil (a create has no old object).
func typed[T Object](obj Object) T {
	if obj == nil {
		var none T
		return none
	}
	return obj.(T)
}

func eraseFuncs[T Object](info *Info, k Kind[T]) {
	if k.Default != nil {
		info.Default = func(o Object) { k.Default(o.(T)) }
	}
	if k.Restore != nil {
		info.Restore = func(o Object) { k.Restore(o.(T)) }
	}
	if k.Prepare != nil {
		info.Prepare = func(r Request, o, old Object) { k.Prepare(r, o.(T), typed[T](old)) }
	}
	if k.Validate != nil {
		info.Validate = func(r Request, o, old Object) field.ErrorList { return k.Validate(r, o.(T), typed[T](old)) }
	}
	if k.Warn != nil {
		info.Warn = func(o, old Object) []string { return k.Warn(o.(T), typed[T](old)) }
	}
	if k.Delete != nil {
		info.Delete = func(r Request, o Object, opts *metav1.DeleteOptions) DeleteAction { return k.Delete(r, o.(T), opts) }
	}
	if k.Spec != nil {
		info.Spec = func(o Object) any { return k.Spec(o.(T)) }
	}
}

func eraseLookups[T Object](info *Info, k Kind[T]) {
	for _, c := range k.Columns {
		info.Columns = append(info.Columns, Column[Object]{
			Name: c.Name, Type: cmp.Or(c.Type, "string"), Format: c.Format,
			Description: c.Description, Priority: c.Priority, NoHeader: c.NoHeader,
			Value: func(o Object, now time.Time) any { return c.Value(o.(T), now) },
		})
	}
	info.Fields = map[string]func(Object) string{
		"metadata.name":      func(o Object) string { return o.GetName() },
		"metadata.namespace": func(o Object) string { return o.GetNamespace() },
	}
	if k.NotByNamespace {
		delete(info.Fields, "metadata.namespace")
	}
	for name, f := range k.Fields {
		info.Fields[name] = func(o Object) string { return f(o.(T)) }
	}
	info.Indexes = map[string]func(Object) []string{OwnerIndex: owners}
	for name, f := range k.Indexes {
		info.Indexes[name] = func(o Object) []string { return f(o.(T)) }
	}
	same := func(o Object) Object { return o }
	info.Served = []*ServedInfo{{Info: info, GVK: info.GVK, GVR: info.GVR, Fields: info.Fields, New: info.New, To: same, From: same}}
	for _, s := range k.Also {
		gv := schema.GroupVersion{Group: s.Group, Version: s.Version}
		info.Served = append(info.Served, &ServedInfo{
			Info: info, GVK: gv.WithKind(k.Kind), GVR: gv.WithResource(k.Resource), Fields: servedFields(info, s.Fields), New: s.New,
			To:   func(o Object) Object { return s.To(o.(T)) },
			From: func(o Object) Object { return s.From(o) },
		})
	}
}

// servedFields returns the selectable fields of a kind under the names that
// another version gives them.
func servedFields(info *Info, names map[string]string) map[string]func(Object) string {
	if names == nil {
		return info.Fields
	}
	fields := map[string]func(Object) string{}
	for _, name := range []string{"metadata.name", "metadata.namespace"} {
		fields[name] = info.Fields[name]
	}
	for name, stored := range names {
		fields[name] = info.Fields[stored]
	}
	return fields
}

// OwnerIndex is the index that every kind has: the UIDs of its owners.
const OwnerIndex = "metadata.ownerReferences.uid"

func owners(o Object) []string {
	refs := o.GetOwnerReferences()
	if len(refs) == 0 {
		return nil
	}
	uids := make([]string, len(refs))
	for i, ref := range refs {
		uids[i] = string(ref.UID)
	}
	return uids
}
