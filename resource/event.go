package resource

import (
	"cmp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/skiff-sh/skiff/resource/validate"
)

// Events is the kind Event, stored as core/v1 and served as events.k8s.io/v1
// too. An event lives for an hour, which is upstream's default for
// --event-ttl.
var Events = Define(Kind[*corev1.Event]{
	Version: "v1", Kind: "Event", Resource: "events", Short: []string{"ev"},
	Namespaced: true, TTL: time.Hour,
	Name:           validate.PathSegmentName,
	CreateOnUpdate: true,
	Validate:       func(req Request, e, old *corev1.Event) field.ErrorList { return validate.Event(e, old, req.Version) },
	Columns:        eventColumns,
	Fields:         eventFields,
	Also:           []Served[*corev1.Event]{Serve("events.k8s.io", "v1", regardingFields, eventToV1, eventFromV1)},
})

var eventFields = map[string]func(*corev1.Event) string{
	"involvedObject.kind":            func(e *corev1.Event) string { return e.InvolvedObject.Kind },
	"involvedObject.namespace":       func(e *corev1.Event) string { return e.InvolvedObject.Namespace },
	"involvedObject.name":            func(e *corev1.Event) string { return e.InvolvedObject.Name },
	"involvedObject.uid":             func(e *corev1.Event) string { return string(e.InvolvedObject.UID) },
	"involvedObject.apiVersion":      func(e *corev1.Event) string { return e.InvolvedObject.APIVersion },
	"involvedObject.resourceVersion": func(e *corev1.Event) string { return e.InvolvedObject.ResourceVersion },
	"involvedObject.fieldPath":       func(e *corev1.Event) string { return e.InvolvedObject.FieldPath },
	"reason":                         func(e *corev1.Event) string { return e.Reason },
	"reportingComponent":             func(e *corev1.Event) string { return e.ReportingController },
	"source":                         func(e *corev1.Event) string { return cmp.Or(e.Source.Component, e.ReportingController) },
	"type":                           func(e *corev1.Event) string { return e.Type },
}

var regardingFields = map[string]string{
	"regarding.kind":            "involvedObject.kind",
	"regarding.namespace":       "involvedObject.namespace",
	"regarding.name":            "involvedObject.name",
	"regarding.uid":             "involvedObject.uid",
	"regarding.apiVersion":      "involvedObject.apiVersion",
	"regarding.resourceVersion": "involvedObject.resourceVersion",
	"regarding.fieldPath":       "involvedObject.fieldPath",
	"reportingController":       "reportingComponent",
	"reason":                    "reason",
	"type":                      "type",
}

// eventToV1 returns e in the form of events.k8s.io/v1. The two forms say the
// same: the elder names live on as deprecated fields.
func eventToV1(e *corev1.Event) *eventsv1.Event {
	v := &eventsv1.Event{
		EventTime: e.EventTime, ReportingController: e.ReportingController, ReportingInstance: e.ReportingInstance,
		Action: e.Action, Reason: e.Reason, Regarding: e.InvolvedObject, Note: e.Message, Type: e.Type,
		DeprecatedSource: e.Source, DeprecatedFirstTimestamp: e.FirstTimestamp,
		DeprecatedLastTimestamp: e.LastTimestamp, DeprecatedCount: e.Count,
	}
	e.ObjectMeta.DeepCopyInto(&v.ObjectMeta)
	if e.Series != nil {
		v.Series = &eventsv1.EventSeries{Count: e.Series.Count, LastObservedTime: e.Series.LastObservedTime}
	}
	if e.Related != nil {
		related := *e.Related
		v.Related = &related
	}
	return v
}

func eventFromV1(v *eventsv1.Event) *corev1.Event {
	e := &corev1.Event{
		EventTime: v.EventTime, ReportingController: v.ReportingController, ReportingInstance: v.ReportingInstance,
		Action: v.Action, Reason: v.Reason, InvolvedObject: v.Regarding, Message: v.Note, Type: v.Type,
		Source: v.DeprecatedSource, FirstTimestamp: v.DeprecatedFirstTimestamp,
		LastTimestamp: v.DeprecatedLastTimestamp, Count: v.DeprecatedCount,
	}
	v.ObjectMeta.DeepCopyInto(&e.ObjectMeta)
	if v.Series != nil {
		e.Series = &corev1.EventSeries{Count: v.Series.Count, LastObservedTime: v.Series.LastObservedTime}
	}
	if v.Related != nil {
		related := *v.Related
		e.Related = &related
	}
	return e
}

var eventColumns = []Column[*corev1.Event]{
	{Name: "Last Seen", Description: corev1.Event{}.SwaggerDoc()["lastTimestamp"],
		Value: func(e *corev1.Event, now time.Time) any { return lastSeen(e, now) }},
	column("Type", corev1.Event{}.SwaggerDoc()["type"], func(e *corev1.Event) any { return e.Type }),
	column("Reason", corev1.Event{}.SwaggerDoc()["reason"], func(e *corev1.Event) any { return e.Reason }),
	column("Object", corev1.Event{}.SwaggerDoc()["involvedObject"], func(e *corev1.Event) any {
		target := strings.ToLower(e.InvolvedObject.Kind)
		if e.InvolvedObject.Name != "" {
			target += "/" + e.InvolvedObject.Name
		}
		return target
	}),
	wideColumn("Subobject", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"], func(e *corev1.Event) any { return e.InvolvedObject.FieldPath }),
	wideColumn("Source", corev1.Event{}.SwaggerDoc()["source"], func(e *corev1.Event) any {
		source := cmp.Or(e.Source.Component, e.ReportingController)
		if instance := cmp.Or(e.Source.Host, e.ReportingInstance); instance != "" {
			source += ", " + instance
		}
		return source
	}),
	column("Message", corev1.Event{}.SwaggerDoc()["message"], func(e *corev1.Event) any { return strings.TrimSpace(e.Message) }),
	{Name: "First Seen", Description: corev1.Event{}.SwaggerDoc()["firstTimestamp"], Priority: 1,
		Value: func(e *corev1.Event, now time.Time) any { return firstSeen(e, now) }},
	wideColumn("Count", corev1.Event{}.SwaggerDoc()["count"], func(e *corev1.Event) any { return eventCount(e) }),
	{Name: "Name", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"], Priority: 1,
		Value: func(e *corev1.Event, _ time.Time) any { return e.Name }},
}

func firstSeen(e *corev1.Event, now time.Time) string {
	if e.FirstTimestamp.IsZero() {
		return age(metav1.Time(e.EventTime), now)
	}
	return age(e.FirstTimestamp, now)
}

func lastSeen(e *corev1.Event, now time.Time) string {
	switch {
	case e.Series != nil:
		return age(metav1.Time(e.Series.LastObservedTime), now)
	case e.LastTimestamp.IsZero():
		return firstSeen(e, now)
	}
	return age(e.LastTimestamp, now)
}

// eventCount is 1 for the single events of events.k8s.io, which count nothing.
func eventCount(e *corev1.Event) int64 {
	switch {
	case e.Series != nil:
		return int64(e.Series.Count)
	case e.Count == 0:
		return 1
	}
	return int64(e.Count)
}
