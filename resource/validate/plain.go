package validate

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// plain prepares a value for an error message. The API has always shown
// structures with the names of Go fields, empty ones included, and clients
// compare these texts.
func plain(value any) any {
	t := reflect.TypeOf(value)
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || !strings.HasPrefix(t.PkgPath(), "k8s.io/api/") {
		return value
	}
	return goNames{reflect.ValueOf(value)}
}

// goNames is a value whose JSON has the names of Go fields.
type goNames struct{ v reflect.Value }

// MarshalJSON implements json.Marshaler.
func (g goNames) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	err := g.write(&out, g.v)
	return out.Bytes(), err
}

func (g goNames) write(out *bytes.Buffer, v reflect.Value) error {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return g.write(out, v.Elem())
	case v.Kind() == reflect.Struct && strings.HasPrefix(v.Type().PkgPath(), "k8s.io/api/"):
		fields := goFields(v)
		return g.list(out, '{', '}', len(fields), func(i int) error {
			if members := fields[i].members; members != nil {
				out.Write(members)
				return nil
			}
			out.WriteString(`"` + fields[i].name + `":`)
			return g.write(out, fields[i].value)
		})
	case v.Kind() == reflect.Slice && !v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8:
		return g.list(out, '[', ']', v.Len(), func(i int) error { return g.write(out, v.Index(i)) })
	}
	data, err := json.Marshal(v.Interface())
	out.Write(data)
	return err
}

var typeMeta = reflect.TypeFor[metav1.TypeMeta]()

type goField struct {
	name    string
	value   reflect.Value
	members []byte // instead of both: members of an object as they are written
}

// goFields returns the fields of a struct; those of embedded structs stand in
// their place. Metadata is a type of the API's machinery, not of the API: it is
// named and left out as in any JSON.
func goFields(v reflect.Value) []goField {
	var all []goField
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Type == typeMeta: // not part of what is stored in memory upstream
		case !f.Anonymous || f.Type.Kind() != reflect.Struct:
			all = append(all, goField{name: f.Name, value: v.Field(i)})
		case strings.HasPrefix(f.Type.PkgPath(), "k8s.io/apimachinery/"):
			data, err := json.Marshal(v.Field(i).Interface())
			if err == nil && string(data) != "{}" {
				all = append(all, goField{members: data[1 : len(data)-1]})
			}
		default:
			all = append(all, goFields(v.Field(i))...)
		}
	}
	return all
}

func (g goNames) list(out *bytes.Buffer, open, end byte, n int, one func(int) error) error {
	out.WriteByte(open)
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := one(i); err != nil {
			return err
		}
	}
	out.WriteByte(end)
	return nil
}
