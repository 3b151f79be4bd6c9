package resource

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

func nameColumn[T Object]() Column[T] {
	return Column[T]{
		Name: "Name", Format: "name",
		Description: "Name must be unique within a namespace.",
		Value:       func(o T, _ time.Time) any { return o.GetName() },
	}
}

func ageColumn[T Object]() Column[T] {
	return Column[T]{
		Name:        "Age",
		Description: "Time since the object was created.",
		Value:       func(o T, now time.Time) any { return age(o.GetCreationTimestamp(), now) },
	}
}

// age writes the time since t as kubectl does: "5m", "<unknown>" for none.
func age(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(t.Time))
}
