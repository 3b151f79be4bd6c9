package cause

import (
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// same tells whether two values of one type hold the same. It makes nothing, since
// it is asked at each write, where most of an object is as it was. An empty list or
// map is as none; who owns fields is no difference.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return a.Uint() == b.Uint()
	case reflect.Float32, reflect.Float64:
		return a.Float() == b.Float()
	case reflect.Pointer:
		if a.UnsafePointer() == b.UnsafePointer() || a.IsNil() || b.IsNil() {
			return a.UnsafePointer() == b.UnsafePointer()
		}
		return same(a.Elem(), b.Elem())
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && same(a.Elem(), b.Elem())
	case reflect.Struct:
		return sameStruct(a, b)
	case reflect.Slice, reflect.Array:
		return sameList(a, b)
	case reflect.Map:
		return a.Len() == b.Len() && (a.Len() == 0 || a.UnsafePointer() == b.UnsafePointer() || sameMap(a, b))
	}
	return false
}

func sameStruct(a, b reflect.Value) bool {
	for i := range a.NumField() {
		if !same(a.Field(i), b.Field(i)) {
			return whole(a.Type()) && sameWhole(a, b)
		}
	}
	return true
}

// sameWhole compares what can be written in several ways.
func sameWhole(a, b reflect.Value) bool {
	if x, ok := a.Interface().(resource.Quantity); ok {
		return x.Cmp(b.Interface().(resource.Quantity)) == 0
	}
	return text(a) == text(b)
}

func sameList(a, b reflect.Value) bool {
	if a.Type() == reflect.TypeFor[[]metav1.ManagedFieldsEntry]() {
		return true
	}
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if !same(a.Index(i), b.Index(i)) {
			return false
		}
	}
	return true
}

func sameMap(a, b reflect.Value) bool {
	for iter := a.MapRange(); iter.Next(); {
		if other := b.MapIndex(iter.Key()); !other.IsValid() || !same(iter.Value(), other) {
			return false
		}
	}
	return true
}
