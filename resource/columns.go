package resource

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

func nameColumn[T Object]() Column[T] {
	return Column[T]{
		Name: "Name", Format: "name",
		Description: metav1.ObjectMeta{}.SwaggerDoc()["name"],
		Value:       func(o T, _ time.Time) any { return o.GetName() },
	}
}

// defaultNameColumn marks the class that an annotation makes the default.
func defaultNameColumn[T Object](annotation string) Column[T] {
	c := nameColumn[T]()
	c.Value = func(o T, _ time.Time) any {
		if o.GetAnnotations()[annotation] == "true" {
			return o.GetName() + " (default)"
		}
		return o.GetName()
	}
	return c
}

func ageColumn[T Object]() Column[T] {
	return Column[T]{
		Name:        "Age",
		Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"],
		Value:       func(o T, now time.Time) any { return age(o.GetCreationTimestamp(), now) },
	}
}

// column is a string column, shown always.
func column[T Object](name, description string, value func(T) any) Column[T] {
	return Column[T]{Name: name, Description: description, Value: func(o T, _ time.Time) any { return value(o) }}
}

// wideColumn is a string column that is shown with -o wide.
func wideColumn[T Object](name, description string, value func(T) any) Column[T] {
	c := column(name, description, value)
	c.Priority = 1
	return c
}

// integer gives a column its JSON type.
func integer[T Object](c Column[T]) Column[T] {
	c.Type = "integer"
	return c
}

// boolean gives a column its JSON type.
func boolean[T Object](c Column[T]) Column[T] {
	c.Type = "boolean"
	return c
}

// headless gives a cell without a column of its own.
func headless[T Object](c Column[T]) Column[T] {
	c.NoHeader = true
	return c
}

// named gives a column the format of a name.
func named[T Object](c Column[T]) Column[T] {
	c.Format = "name"
	return c
}

// templateColumns are the wide columns of kinds that make pods.
func templateColumns[T Object](template func(T) *corev1.PodSpec) []Column[T] {
	join := func(get func(corev1.Container) string) func(T) any {
		return func(o T) any {
			var all []string
			for _, c := range template(o).Containers {
				all = append(all, get(c))
			}
			return strings.Join(all, ",")
		}
	}
	return []Column[T]{
		wideColumn("Containers", "Names of each container in the template.", join(func(c corev1.Container) string { return c.Name })),
		wideColumn("Images", "Images referenced by each container in the template.", join(func(c corev1.Container) string { return c.Image })),
	}
}

// age writes the time since t as kubectl does: "5m", "<unknown>" for none.
func age(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// listSome writes the first three of a list, and how many more there are.
func listSome(all []string, none string) string {
	const shown = 3
	if len(all) > shown {
		return fmt.Sprintf("%s + %d more...", strings.Join(all[:shown], ","), len(all)-shown)
	}
	return cmp.Or(strings.Join(all, ","), none)
}

// orNone returns s, and "<none>" where there is nothing.
func orNone(s string) string {
	if s == "" {
		return "<none>"
	}
	return s
}

// derefOr returns what p points to, and other where there is nothing.
func derefOr[V any](p *V, other V) V {
	if p == nil {
		return other
	}
	return *p
}
