package apiserver

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skiff-sh/skiff/resource"
	"github.com/skiff-sh/skiff/view"
)

// tableOf returns entries as the rows that kubectl prints (meta/v1 Table).
func tableOf(version *resource.ServedInfo, entries []*view.Entry, f format, now time.Time, headers bool) *metav1.Table {
	columns := version.Info.Columns
	rows := make([]metav1.TableRow, 0, len(entries))
	if len(columns) == 0 {
		columns, rows = defaultColumns, nil // no rows are null then
	}
	table := &metav1.Table{
		Rows: rows,
	}
	table.SetGroupVersionKind(f.kind("Table"))
	if headers {
		for _, c := range columns {
			if c.NoHeader {
				continue
			}
			table.ColumnDefinitions = append(table.ColumnDefinitions, metav1.TableColumnDefinition{
				Name: c.Name, Type: c.Type, Format: c.Format, Description: c.Description, Priority: c.Priority,
			})
		}
	}
	for _, e := range entries {
		row := metav1.TableRow{Cells: make([]any, len(columns))}
		for i, c := range columns {
			row.Cells[i] = c.Value(e.Object, now)
		}
		// The end of the initial objects is told by an annotation, so it has to be seen.
		_, last := e.Object.GetAnnotations()[metav1.InitialEventsAnnotationKey]
		switch {
		case f.include == metav1.IncludeNone && !last:
		case f.include == metav1.IncludeObject:
			row.Object.Raw = withType(version.GVK, e.In(version).JSON())
		default:
			row.Object.Object = runtime.Object(partialOf(e, f))
		}
		table.Rows = append(table.Rows, row)
	}
	return table
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
