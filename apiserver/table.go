package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// tableMaker writes entries as the rows that kubectl prints (meta/v1 Table).
// Rows go straight from the objects to bytes: a table of all objects is read by
// every client that lists them.
type tableMaker struct {
	version *resource.ServedInfo
	columns []resource.Column[resource.Object]
	include metav1.IncludeObjectPolicy
	now     time.Time
	table   format
	object  []byte // kind and apiVersion of an object itself, in an open JSON object
	partial []byte // what stands in front of its metadata alone
}

func newTableMaker(version *resource.ServedInfo, f format, now time.Time) *tableMaker {
	m := &tableMaker{version: version, columns: version.Info.Columns, include: f.include, now: now, table: f}
	if len(m.columns) == 0 {
		m.columns = defaultColumns
	}
	m.object = bytes.TrimSuffix(withType(version.GVK, []byte("{}")), []byte("}"))
	m.partial = partialHead(f)
	return m
}

// frame is a table without rows, as JSON that ends in "]}".
func (m *tableMaker) frame(meta metav1.ListMeta, headers bool) ([]byte, error) {
	table := &metav1.Table{ListMeta: meta, Rows: []metav1.TableRow{}}
	table.SetGroupVersionKind(m.table.kind("Table"))
	if headers {
		for _, c := range m.columns {
			if c.NoHeader {
				continue
			}
			table.ColumnDefinitions = append(table.ColumnDefinitions, metav1.TableColumnDefinition{
				Name: c.Name, Type: c.Type, Format: c.Format, Description: c.Description, Priority: c.Priority,
			})
		}
	}
	data, err := json.Marshal(table)
	if err != nil {
		return nil, fmt.Errorf("encode table: %w", err)
	}
	return data, nil
}

// single is a table of one entry.
func (m *tableMaker) single(e *view.Entry, headers bool) ([]byte, error) {
	frame, err := m.frame(metav1.ListMeta{ResourceVersion: e.Object.GetResourceVersion()}, headers)
	if err != nil {
		return nil, err
	}
	out, err := m.appendRow(frame[:len(frame)-len(itemsEnd)], e)
	return append(out, itemsEnd...), err
}

// appendRow appends a row (meta/v1 TableRow) in JSON.
func (m *tableMaker) appendRow(out []byte, e *view.Entry) ([]byte, error) {
	out = append(out, `{"cells":[`...)
	for i, c := range m.columns {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = appendCell(out, c.Value(e.Object, m.now)); err != nil {
			return nil, fmt.Errorf("encode column %s of %s: %w", c.Name, e.Key, err)
		}
	}
	out = append(out, `],"object":`...)
	// The end of the initial objects is told by an annotation, so it has to be seen.
	_, last := e.Object.GetAnnotations()[metav1.InitialEventsAnnotationKey]
	switch {
	case m.include == metav1.IncludeNone && !last:
		out = append(out, "null"...)
	case m.include == metav1.IncludeObject:
		object := e.In(m.version).JSON()
		out = append(out, m.object...)
		if len(object) > len("{}") {
			out = append(out, ',')
		}
		out = append(out, object[1:]...)
	default:
		out = append(resource.AppendMeta(append(out, m.partial...), metaOf(e.Object)), '}')
	}
	return append(out, '}'), nil
}

// appendCell appends what a column shows.
func appendCell(out []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return resource.AppendString(out, v), nil
	case int64:
		return strconv.AppendInt(out, v, 10), nil
	}
	data, err := json.Marshal(value)
	return append(out, data...), err
}

// defaultColumns serve kinds that define none.
var defaultColumns = []resource.Column[resource.Object]{
	{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"],
		Value: func(o resource.Object, _ time.Time) any { return o.GetName() }},
	{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"],
		Value: func(o resource.Object, _ time.Time) any {
			return o.GetCreationTimestamp().UTC().Format(time.RFC3339)
		}},
}
