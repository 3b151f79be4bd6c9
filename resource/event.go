package resource

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
)

// Events is the kind Event, stored as core/v1 and served as events.k8s.io/v1
// too. An event lives for an hour, which is upstream's default for
// --event-ttl.
var Events = Define(Kind[*corev1.Event]{
	Version: "v1", Kind: "Event", Resource: "events", Short: []string{"ev"},
	Namespaced: true, TTL: time.Hour,
	Fields: eventFields,
	Also:   []Served[*corev1.Event]{Serve("events.k8s.io", "v1", regardingFields, eventToV1, eventFromV1)},
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
